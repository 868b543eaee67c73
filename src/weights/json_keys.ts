// The keys of a JSON text as they stand there. JSON.parse keeps the last of two equal keys and moves keys that look
// like numbers to the front, and 4.0 comes out as 4; a weight file may do none of it unnoticed.

/** No header of a weight file nests deeper than name → entry → shape. */
const MAX_DEPTH = 16;

/**
 * The keys of the outermost object of a JSON text, in order; what it gives for an invalid text means nothing.
 * Throws what `wrong` makes of a sentence where an object has a key twice, levels nest absurdly deep or a whole number
 * is written as a fraction, and SyntaxError where a key is no JSON string.
 */
export function keysOf(json: string, wrong: (sentence: string) => Error): string[] {
  const outer: string[] = [];
  const open: Array<Set<string> | null> = [];
  for (let i = 0; i < json.length; i++) {
    const c = json[i];
    if (c === "{" || c === "[") {
      open.push(c === "{" ? new Set() : null);
      if (open.length > MAX_DEPTH) throw wrong(`nests more than ${MAX_DEPTH} levels deep`);
    } else if (c === "}" || c === "]") open.pop();
    else if (c === "." || c === "e" || c === "E") {
      const number = numberAround(json, i);
      if (Number.isInteger(Number(number))) throw wrong(`holds ${number} where a whole number belongs`);
    } else if (c === '"') {
      const from = i;
      i = endOfString(json, i);
      const keys = open.at(-1);
      if (!keys || !isFollowedByColon(json, i + 1)) continue;
      const key: string = JSON.parse(json.slice(from, i + 1));
      if (keys.has(key)) throw wrong(`holds "${key}" twice`);
      keys.add(key);
      if (open.length === 1) outer.push(key);
    }
  }
  return outer;
}

/** The number whose point or exponent is at `at`; no number where that is part of a word. */
function numberAround(json: string, at: number): string {
  const from = /-?\d*$/.exec(json.slice(Math.max(0, at - 32), at))?.[0];
  return `${from}${/^[\d.eE+-]*/.exec(json.slice(at, at + 32))?.[0]}`;
}

/** Where the string that begins at `from` has its closing quote, or the text's end. */
function endOfString(json: string, from: number): number {
  let i = from + 1;
  while (i < json.length && json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
  return i;
}

function isFollowedByColon(json: string, at: number): boolean {
  let i = at;
  while (i < json.length && " \t\n\r".includes(json[i])) i++;
  return json[i] === ":";
}
