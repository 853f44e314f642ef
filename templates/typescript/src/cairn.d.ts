// What a decider in TypeScript finds besides the language. docs/lua.md says what it may not do.

declare namespace cairn {
  type DeepReadonly<T> = T extends (infer Item)[]
    ? readonly DeepReadonly<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
      : T;

  /** A command. `time` is the only clock, `id` the only chance that a decision may rest on. */
  interface Command<Data> {
    readonly name: string;
    readonly data: Data;
    readonly id: string;
    /** ISO 8601, UTC */
    readonly time: string;
    readonly time_us: number;
    readonly actor: string;
    readonly correlation: string;
  }

  /** An event as the log keeps it. */
  interface Recorded<Type, Data> {
    readonly type: Type;
    readonly data: Data;
    readonly id: string;
    readonly time: string;
    readonly time_us: number;
    readonly stream: string;
    readonly revision: number;
    readonly position: number;
    readonly tags: readonly string[];
    readonly meta: { readonly [name: string]: unknown };
    readonly correlation: string;
  }

  /** An event as decide returns it. */
  type Event<Events> = {
    [Type in keyof Events]: {
      type: Type;
      data: DeepReadonly<Events[Type]>;
      tags?: readonly string[];
      /** another stream than the command's */
      stream?: string;
      meta?: { readonly [name: string]: unknown };
    };
  }[keyof Events];

  interface Decider<State, Commands, Events> {
    /** null and undefined are one in compiled TypeScript: JSON's null reads as undefined */
    nulls: "nil";
    initial: State | ((this: void, stream: string) => State);
    /** Change the state in place, or return another. */
    evolve: {
      [Type in keyof Events]?: (this: void, state: State, event: Recorded<Type, Events[Type]>) => State | void;
    };
    decide: {
      [Name in keyof Commands]: (
        this: void,
        state: DeepReadonly<State>,
        command: Command<Commands[Name]>,
      ) => Event<Events> | readonly Event<Events>[] | void;
    };
  }
}

/** Refuse the command, by a name that callers can rely on. Does not return. */
declare function reject(this: void, code: string, message?: string, details?: object): never;

/** Mark a list as one, so that it is [] and not {} in JSON when it is empty. Returns the list. */
declare function array<Item>(this: void, list?: Item[]): Item[];
