/** Whether a word is a shell pattern. */
export const isGlob = (text: string): boolean => /[*?[]/.test(text);

/** A shell pattern (`*`, `?`, `[a-z]`, `[!a]`) as an expression for the whole of a text. */
export function globRegExp(pattern: string): RegExp {
  let source = "";
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i] as string;
    const end = char === "[" ? pattern.indexOf("]", i + 2) : -1;
    if (char === "*") source += "[^]*";
    else if (char === "?") source += "[^]";
    else if (end > 0) {
      const set = pattern
        .slice(i + 1, end)
        .replace(/^!/, "^")
        .replace(/[\\\]]/g, "\\$&");
      source += `[${set}]`;
      i = end;
    } else source += char.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  }
  return new RegExp(`^${source}$`);
}
