/**
 * Says what an instruction of a Dockerfile does, as the server does. No DOM; loaded on demand.
 */
import { plainText } from "../log/plain-text";

const LONGEST_COMMAND = 60;
const LONGEST_READ = 1000;

// repo2docker measures some commands.
const TIMED = /^TIMEFORMAT='[^']*' bash -c 'time /;
const FLAG = /^--[a-z]+=\S* +/;

/** Return the command of an instruction, on one line and shortened. */
export function commandOf(instruction: string): string {
  // Directional characters are dropped: the label is shown beside other text.
  const read = instruction.slice(0, LONGEST_READ).replace(/[\u2028\u2029]/g, " ").replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
  let text = plainText(read).trim().replace(/\s+/g, " ");
  if (text.startsWith("RUN ")) {
    text = text.slice(4);
    while (FLAG.test(text)) text = text.replace(FLAG, "");
    if (TIMED.test(text)) text = text.replace(TIMED, "").replace(/'$/, "");
  }
  const characters = [...text];
  return characters.length <= LONGEST_COMMAND ? text : `${characters.slice(0, LONGEST_COMMAND - 1).join("").trimEnd()}…`;
}
