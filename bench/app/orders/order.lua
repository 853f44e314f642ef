local MOST = 1 << 40

return {
  initial = {placed = 0},
  evolve = {
    OrderPlaced = function(state) state.placed = state.placed + 1 end,
  },
  decide = {
    Place = function(state, command)
      if state.placed >= MOST then return reject("too_many", "There are too many orders.") end
      return {type = "OrderPlaced", data = {text = command.data.text}}
    end,
  },
}
