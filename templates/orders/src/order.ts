// An order: placed, then paid or cancelled.
//
// evolve makes the state of one order from its events; decide looks at the state and at a command and says which events
// happen, or why not. Both are functions of what they are given: no clock, no chance, no files.
// Types of commands and events are in types.gen.d.ts, made from the schemas.

import type { Decider, PlaceOrder } from "./types.gen";

interface State {
  status: "none" | "open" | "paid" | "cancelled";
  customer: string;
  total_cents: number;
}

function total(items: PlaceOrder["items"]): number {
  return items.reduce((cents, item) => cents + item.quantity * item.price_cents, 0);
}

// What PayOrder and CancelOrder have in common: there is an order, and it is open.
function checkOpen(status: State["status"]): void {
  if (status === "none") reject("not_found", "there is no such order");
  if (status !== "open") reject("not_open", `the order is ${status} already`, { status });
}

const decider: Decider<State> = {
  nulls: "nil",
  initial: { status: "none", customer: "", total_cents: 0 },

  evolve: {
    OrderPlaced(state, event) {
      state.status = "open";
      state.customer = event.data.customer;
      state.total_cents = event.data.total_cents;
    },
    OrderPaid(state) {
      state.status = "paid";
    },
    OrderCancelled(state) {
      state.status = "cancelled";
    },
  },

  decide: {
    PlaceOrder(state, command) {
      if (state.status !== "none") reject("already_placed", "this order was placed already", { status: state.status });
      const { order_id, customer, items } = command.data;
      return { type: "OrderPlaced", data: { order_id, customer, items, total_cents: total(items) } };
    },

    PayOrder(state, command) {
      checkOpen(state.status);
      const data = command.data;
      if (data.amount_cents !== state.total_cents)
        reject("wrong_amount", `the order costs ${state.total_cents} cents`, { total_cents: state.total_cents });
      return { type: "OrderPaid", data };
    },

    CancelOrder(state, command) {
      checkOpen(state.status);
      return { type: "OrderCancelled", data: command.data };
    },
  },
};

export default decider;
