local function moved(type, command, balance)
  return {type = type, data = {amount = command.data.amount, balance = balance}}
end

return {
  initial = {open = false, balance = 0},
  evolve = {
    Opened = function(state) state.open = true end,
    Deposited = function(state, event) state.balance = event.data.balance end,
    Withdrawn = function(state, event) state.balance = event.data.balance end,
  },
  decide = {
    Open = function(state)
      if state.open then return end
      return {type = "Opened", data = {}}
    end,
    Deposit = function(state, command)
      if not state.open then return reject("not_open", "The account is not open.") end
      return moved("Deposited", command, state.balance + command.data.amount)
    end,
    Withdraw = function(state, command)
      if not state.open then return reject("not_open", "The account is not open.") end
      if state.balance < command.data.amount then
        return reject("too_little", "The account does not hold that much.", {balance = state.balance})
      end
      return moved("Withdrawn", command, state.balance - command.data.amount)
    end,
  },
}
