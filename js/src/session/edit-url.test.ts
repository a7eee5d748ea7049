import { expect, test } from "vitest";
import { editUrl, refOf, repositoryUrl } from "./edit-url";

test.each([
  ["gh/kim/demo/main", "requirements.txt", 4, "https://github.com/kim/demo/edit/main/requirements.txt#L4"],
  ["gh/kim/demo/feature/x", "binder/apt.txt", 0, "https://github.com/kim/demo/edit/feature/x/binder/apt.txt"],
  ["gh/kim/demo/HEAD", "a b.txt", 0, "https://github.com/kim/demo/blob/HEAD/a%20b.txt"],
  ["gh/kim/demo", "a.txt", 0, "https://github.com/kim/demo/blob/HEAD/a.txt"],
  ["gh/kim/demo/fix%2F%2312", "a.txt", 0, "https://github.com/kim/demo/edit/fix/%2312/a.txt"],
  [`gh/kim/demo/${"0a".repeat(20)}`, "a.txt", 0, `https://github.com/kim/demo/blob/${"0a".repeat(20)}/a.txt`],
  ["gl/kim%2Fweb%2Fdemo/main", "apt.txt", 0, "https://gitlab.com/kim/web/demo/-/edit/main/apt.txt"],
  ["gist/kim/5720255", "a.txt", 0, ""],
  ["git/https%3A%2F%2Fgit.example.org%2Fa/main", "a.txt", 0, ""],
  ["zenodo/10.5281/zenodo.1", "a.txt", 0, ""],
  ["", "a.txt", 0, ""],
])("%s, %s", (spec, file, line, url) => {
  expect(editUrl(spec, file, line)).toBe(url);
});

test.each([
  ["gh/kim/demo/main", "https://github.com/kim/demo"],
  ["gl/kim%2Fweb%2Fdemo/main", "https://gitlab.com/kim/web/demo"],
  ["gist/kim/5720255/HEAD", "https://gist.github.com/kim/5720255"],
  ["git/https%3A%2F%2Fgit.example.org%2Fa.git/main", "https://git.example.org/a.git"],
  ["zenodo/10.5281/zenodo.1", "https://doi.org/10.5281/zenodo.1"],
  ["git/file%3A%2F%2F%2Fsrv%2Fa/main", ""],
  ["git/javascript%3Aalert(1)/main", ""],
  ["swh/swh:1:rev:0", ""],
  ["gh/kim", ""],
  ["", ""],
])("the page of %s", (spec, url) => {
  expect(repositoryUrl(spec)).toBe(url);
});

test.each([
  ["gh/kim/demo/fix/1", "fix/1"],
  ["gh/kim/demo/fix%2F1", "fix/1"],
  ["gl/kim%2Fdemo/main", "main"],
  ["gist/kim/5720255/HEAD", ""],
  ["zenodo/10.5281/zenodo.1", ""],
])("the ref of %s", (spec, ref) => {
  expect(refOf(spec)).toBe(ref);
});

test("attack: a log names a file outside the repository", () => {
  expect(editUrl("gh/kim/demo/main", "../../evil/x")).toBe("");
  expect(editUrl("gh/kim/demo/main", "javascript:alert(1)")).toBe(
    "https://github.com/kim/demo/edit/main/javascript%3Aalert(1)",
  );
});

test("attack: a spec that is another host", () => {
  expect(editUrl("gl/%40evil.example.org/main", "a")).toBe("https://gitlab.com/@evil.example.org/-/edit/main/a");
  expect(editUrl("gh/kim/demo/%E0%A4%A", "a")).toBe("https://github.com/kim/demo/edit/%25E0%25A4%25A/a");
});
