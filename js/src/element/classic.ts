// Registers `<binder-progress>` from a plain script: `<script src="…/binder-progress.classic.js">`.
import "./define";
