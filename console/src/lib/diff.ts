/* Line by line: what a file had and has. Myers' greedy algorithm (An O(ND) Difference Algorithm, 1986), bounded. */

export interface Line {
  kind: "same" | "old" | "new";
  text: string;
  oldLine?: number;
  newLine?: number;
}

const DIFFERENCES_MAX = 2000; /* beyond, everything counts as replaced */

const linesOf = (text: string): string[] => {
  if (text === "") return [];
  const lines = text.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  return lines;
};

export function diff(before: string, after: string): Line[] {
  const a = linesOf(before);
  const b = linesOf(after);
  const trail = search(a, b);
  const kinds: Line["kind"][] = [];
  if (!trail) {
    a.forEach(() => kinds.push("old"));
    b.forEach(() => kinds.push("new"));
  } else walkBack(trail, a.length, b.length, kinds);
  let i = 0;
  let j = 0;
  return kinds.map((kind) => {
    if (kind === "old") return { kind, text: a[i]!, oldLine: ++i };
    if (kind === "new") return { kind, text: b[j]!, newLine: ++j };
    return { kind, text: a[i]!, oldLine: ++i, newLine: ++j };
  });
}

/* The furthest-reaching points of each round, or null when the two differ too much. */
function search(a: string[], b: string[]): Map<number, number>[] | null {
  const trail: Map<number, number>[] = [];
  let reach = new Map<number, number>([[1, 0]]);
  for (let d = 0; d <= Math.min(a.length + b.length, DIFFERENCES_MAX); d++) {
    trail.push(reach);
    const next = new Map<number, number>();
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? (reach.get(k + 1) ?? 0) : (reach.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x++;
        y++;
      }
      next.set(k, x);
      if (x >= a.length && y >= b.length) return trail;
    }
    reach = next;
  }
  return null;
}

function walkBack(trail: Map<number, number>[], x: number, y: number, kinds: Line["kind"][]): void {
  for (let d = trail.length - 1; d >= 0; d--) {
    const reach = trail[d]!;
    const k = x - y;
    const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : (reach.get(fromK) ?? 0);
    const fromY = d === 0 ? 0 : fromX - fromK;
    while (x > fromX && y > fromY) {
      kinds.push("same");
      x--;
      y--;
    }
    if (d === 0) break;
    kinds.push(down ? "new" : "old");
    x = fromX;
    y = fromY;
  }
  kinds.reverse();
}

/* Only what changed, with `around` lines beside it; null stands for what is left out. */
export function hunks(lines: Line[], around = 3): (Line | null)[] {
  const near = lines.map((_, at) =>
    lines.slice(Math.max(0, at - around), at + around + 1).some((line) => line.kind !== "same"),
  );
  const result: (Line | null)[] = [];
  lines.forEach((line, at) => {
    if (near[at]) result.push(line);
    else if (result.length === 0 || result[result.length - 1] !== null) result.push(null);
  });
  return result;
}
