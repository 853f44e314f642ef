return {
  initial = {notes = 0},
  evolve = {
    ItemNoted = function(state) state.notes = state.notes + 1 end,
  },
  decide = {
    Note = function(state, command)
      return {type = "ItemNoted", data = {text = command.data.text}}
    end,
  },
}
