/* Lists of names that come in pages: what they begin with, and the pages that led here. */
import { useState } from "preact/hooks";
import { setQuery, usePlace } from "../hooks.ts";
import { Button } from "./base.tsx";

export function usePages() {
  const { query } = usePlace();
  const [before, setBefore] = useState<(string | null)[]>([]);
  return {
    prefix: query.get("prefix") ?? "",
    after: query.get("after"),
    before,
    setBefore,
    search: (text: string) => {
      setBefore([]);
      setQuery({ prefix: text, after: null });
    },
  };
}

/* Nothing where one page is all. */
export function Pager({ before, setBefore, after, next }: { before: (string | null)[]; setBefore: (before: (string | null)[]) => void; after: string | null; next: string | null }) {
  if (!after && next === null) return null;
  return (
    <div class="pager">
      <Button
        disabled={!after}
        onClick={() => {
          setQuery({ after: before[before.length - 1] ?? null }, false);
          setBefore(before.slice(0, -1));
        }}
      >
        Page before
      </Button>
      <Button
        disabled={next === null}
        onClick={() => {
          setBefore([...before, after]);
          setQuery({ after: next }, false);
        }}
      >
        Next page
      </Button>
    </div>
  );
}
