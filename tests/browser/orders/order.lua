-- An order is placed once, and then either shipped or cancelled.
local function must_be_open(state)
  if not state.status then
    reject("unknown", "there is no such order")
  elseif state.status ~= "placed" then
    reject("not_open", "the order is " .. state.status, { status = state.status })
  end
end

return {
  initial = {},
  evolve = {
    OrderPlaced = function(state, event)
      return { status = "placed", customer = event.data.customer.name, lines = #event.data.lines, total = event.data.total }
    end,
    OrderShipped = function(state, event)
      state.status = "shipped"
      state.carrier = event.data.carrier
      return state
    end,
    OrderCancelled = function(state, event)
      state.status = "cancelled"
      state.reason = event.data.reason
      return state
    end,
  },
  decide = {
    PlaceOrder = function(state, command)
      if state.status then
        reject("already_placed", "the order " .. command.data.order_id .. " is there already", { status = state.status })
      end
      local data = command.data
      data.total = 0
      for _, line in ipairs(data.lines) do
        data.total = data.total + line.quantity * line.price
      end
      return { type = "OrderPlaced", data = data }
    end,
    ShipOrder = function(state, command)
      must_be_open(state)
      return { type = "OrderShipped", data = command.data }
    end,
    CancelOrder = function(state, command)
      must_be_open(state)
      return { type = "OrderCancelled", data = command.data }
    end,
  },
}
