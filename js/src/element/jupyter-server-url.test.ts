import { expect, test } from "vitest";
import { jupyterServerUrl } from "./jupyter-server-url";

const server = { url: "https://hub.example/user/ada/", token: "a+b" };

test.each([
  ["", "https://hub.example/user/ada/?token=a%2Bb"],
  ["lab", "https://hub.example/user/ada/lab?token=a%2Bb"],
  ["/lab", "https://hub.example/user/ada/lab?token=a%2Bb"],
  [
    "lab/tree/index.ipynb?x=1",
    "https://hub.example/user/ada/lab/tree/index.ipynb?x=1&token=a%2Bb",
  ],
  [
    "git-pull?repo=https%3A%2F%2Fx.example%2Fa&urlpath=lab%2F..%2Fb#top",
    "https://hub.example/user/ada/git-pull?repo=https%3A%2F%2Fx.example%2Fa&urlpath=lab%2F..%2Fb&token=a%2Bb#top",
  ],
  ["tree/a b..c.ipynb", "https://hub.example/user/ada/tree/a%20b..c.ipynb?token=a%2Bb"],
  ["lab?token=theirs", "https://hub.example/user/ada/lab?token=a%2Bb"],
])("opens %j below the server", (urlpath, expected) => {
  expect(jupyterServerUrl(server, urlpath)).toBe(expected);
});

test("attack: the link to a server shows no password", () => {
  const url = "https://user:password@hub.example/user/ada/";
  expect(jupyterServerUrl({ url }, "lab")).toBe("https://hub.example/user/ada/lab");
});

test("adds a slash to the server's path, and no token when there is none", () => {
  expect(jupyterServerUrl({ url: "http://localhost:8000/user/ada" }, "lab")).toBe(
    "http://localhost:8000/user/ada/lab",
  );
});

test.each([
  "https://evil.example/",
  "javascript:alert(1)",
  "//evil.example",
  "/\\evil.example",
  "\\\\evil.example",
  "..",
  "../other/lab",
  "lab/../../other",
  "lab/%2e%2E/%2e./other",
  "lab/..%2fother",
  "lab/%5c../other",
  "lab/.\t./other",
  "\n//evil.example",
  "%2f/evil.example",
])("refuses %j, which leaves the server", (urlpath) => {
  expect(() => jupyterServerUrl(server, urlpath)).toThrow("below the server");
});

test.each([
  "",
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  "java\tscript:alert(1)",
  "\u0001 javascript:alert(1)",
  "javascript://hub.example/%0aalert(1)",
  "vbscript:x",
  "data:text/html,x",
  "blob:https://hub.example/x",
  "filesystem:https://hub.example/x",
  "view-source:https://hub.example/",
  "ftp://hub.example/",
  "//evil.example/",
  "/user/ada/",
])(
  "refuses the server's address %j",
  (url) => {
    expect(() => jupyterServerUrl({ url, token: "t" })).toThrow("http");
  },
);
