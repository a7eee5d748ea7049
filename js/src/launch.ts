// The script of launch.html.
import "./launch.css";
import { part } from "./dom";
import { LaunchPage } from "./launch-page";
import { LaunchView } from "./view";

const root = part(document, "launch");
const { baseUrl = "/", spec = "", title = spec, urlpath = "", open = "none" } = root.dataset;
const ask = "ask" in root.dataset;
void new LaunchPage(new LaunchView(root), { baseUrl, spec, title, urlpath, open, ask }).run();
