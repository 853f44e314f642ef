-- An order: placed, then paid or cancelled.
--
-- evolve makes the state of one order from its events; decide looks at the state and at a command and says which events
-- happen, or why not. Both are functions of what they are given: no clock, no chance, no files.

local function total(items)
  local cents = 0
  for _, item in ipairs(items) do
    cents = cents + item.quantity * item.price_cents
  end
  return cents
end

-- What PayOrder and CancelOrder have in common: there is an order, and it is open.
local function check_open(state)
  if state.status == "none" then
    reject("not_found", "there is no such order")
  elseif state.status ~= "open" then
    reject("not_open", "the order is " .. state.status .. " already", {status = state.status})
  end
end

return {
  initial = {status = "none"},

  evolve = {
    OrderPlaced = function(state, event)
      state.status = "open"
      state.customer = event.data.customer
      state.total_cents = event.data.total_cents
      return state
    end,
    OrderPaid = function(state, event)
      state.status = "paid"
      return state
    end,
    OrderCancelled = function(state, event)
      state.status = "cancelled"
      return state
    end,
  },

  decide = {
    PlaceOrder = function(state, command)
      if state.status ~= "none" then
        reject("already_placed", "this order was placed already", {status = state.status})
      end
      local data = command.data
      return {
        type = "OrderPlaced",
        data = {
          order_id = data.order_id,
          customer = data.customer,
          items = data.items,
          total_cents = total(data.items),
        },
      }
    end,

    PayOrder = function(state, command)
      check_open(state)
      local data = command.data
      if data.amount_cents ~= state.total_cents then
        reject("wrong_amount", "the order costs " .. state.total_cents .. " cents", {total_cents = state.total_cents})
      end
      return {type = "OrderPaid", data = data}
    end,

    CancelOrder = function(state, command)
      check_open(state)
      return {type = "OrderCancelled", data = command.data}
    end,
  },
}
