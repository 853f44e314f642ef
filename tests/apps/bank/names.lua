return {
  initial = {taken = false},
  evolve = {NameClaimed = function(state) state.taken = true end},
  decide = {
    ClaimName = function(state, command)
      if state.taken then return reject("taken", "Somebody has that name.") end
      return {type = "NameClaimed", data = command.data}
    end,
  },
}
