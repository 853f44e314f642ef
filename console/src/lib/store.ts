/* A value that components watch. */
import { useEffect, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(value: T): void;
  watch(fn: () => void): () => void;
}

export function store<T>(value: T): Store<T> {
  const watchers = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      [...watchers].forEach((fn) => fn());
    },
    watch(fn) {
      watchers.add(fn);
      return () => watchers.delete(fn);
    },
  };
}

export function useStore<T>(from: Store<T>): T {
  const [, again] = useState(0);
  useEffect(() => {
    const fn = () => again((n) => n + 1);
    fn();
    return from.watch(fn);
  }, [from]);
  return from.get();
}
