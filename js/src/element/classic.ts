// Registers `<binder-progress>` as a plain script: `<script src="…/binder-progress.classic.js">`.
import "./define";
