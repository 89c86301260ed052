const CONTEXT = 2;
const MAX_LINES = 3000;

interface Edit {
  sign: " " | "-" | "+";
  line: string;
}

/** The longest common subsequence of two lists of lines, as edits. */
function edits(before: string[], after: string[]): Edit[] {
  const widths = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const [row, next] = [widths[i] as Uint16Array, widths[i + 1] as Uint16Array];
      row[j] = before[i] === after[j] ? (next[j + 1] ?? 0) + 1 : Math.max(next[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  const result: Edit[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && before[i] === after[j]) {
      result.push({ sign: " ", line: before[i] as string });
      i++;
      j++;
    } else if (
      i < before.length &&
      (j >= after.length || (widths[i + 1]?.[j] ?? 0) >= (widths[i]?.[j + 1] ?? 0))
    )
      result.push({ sign: "-", line: before[i++] as string });
    else result.push({ sign: "+", line: after[j++] as string });
  }
  return result;
}

const lines = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

/** What changes between two texts, a line each, with a little around it. */
export function diffLines(before: string, after: string): string[] {
  const [old, now] = [lines(before), lines(after)];
  if (old.length > MAX_LINES || now.length > MAX_LINES) return [`~ ${old.length} lines become ${now.length}`];
  const all = edits(old, now);
  const near = (at: number): boolean =>
    all.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ sign }) => sign !== " ");
  return all.flatMap(({ sign, line }, at) => {
    if (near(at)) return [`${sign} ${line}`];
    return at > 0 && near(at - 1) ? ["  …"] : [];
  });
}
