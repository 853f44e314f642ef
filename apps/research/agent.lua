-- An agent that takes steps of workflows as tasks.
--
--   (none) ──Create──► created ──Configure──► configured ──Start──► running ⇄ stopped
--
-- An agent may be configured again unless it is running. It has at most `capacity` tasks at a time, and stops with none.

local function check(state, command, legal, refusals)
  if legal[state.status] then
    return
  end
  if state.status == "none" then
    reject("not_found", "there is no such agent")
  end
  local code = refusals[state.status] or "not_running"
  reject(code, command.name .. " does not go with an agent that is " .. state.status, {status = state.status})
end

local function find_task(state, task_id)
  local task = state.tasks[task_id]
  if not task then
    reject("unknown_task", "the agent has no task " .. task_id, {task_id = task_id})
  end
  return task
end

local function count(tasks)
  local n = 0
  for _ in pairs(tasks) do
    n = n + 1
  end
  return n
end

return {
  initial = {status = "none", tasks = {}, capacity = 0},

  evolve = {
    AgentCreated = function(state, event)
      state.status = "created"
      return state
    end,
    AgentConfigured = function(state, event)
      state.status = state.status == "stopped" and "stopped" or "configured"
      state.capacity = event.data.capacity
      return state
    end,
    AgentStarted = function(state, event)
      state.status = "running"
      return state
    end,
    AgentStopped = function(state, event)
      state.status = "stopped"
      return state
    end,
    TaskAssigned = function(state, event)
      state.tasks[event.data.task_id] = {workflow_id = event.data.workflow_id, step_id = event.data.step_id}
      return state
    end,
    TaskCompleted = function(state, event)
      state.tasks[event.data.task_id] = nil
      return state
    end,
    TaskFailed = function(state, event)
      state.tasks[event.data.task_id] = nil
      return state
    end,
  },

  decide = {
    CreateAgent = function(state, command)
      if state.status ~= "none" then
        reject("already_exists", "there is such an agent already", {status = state.status})
      end
      return {type = "AgentCreated", data = command.data}
    end,

    ConfigureAgent = function(state, command)
      check(state, command, {created = true, configured = true, stopped = true}, {running = "already_running"})
      return {type = "AgentConfigured", data = command.data}
    end,

    StartAgent = function(state, command)
      check(state, command, {configured = true, stopped = true}, {created = "not_configured", running = "already_running"})
      return {type = "AgentStarted", data = command.data}
    end,

    StopAgent = function(state, command)
      check(state, command, {running = true}, {})
      local open = count(state.tasks)
      if open > 0 then
        reject("tasks_open", "the agent has " .. open .. " open tasks", {tasks = open})
      end
      return {type = "AgentStopped", data = command.data}
    end,

    AssignTask = function(state, command)
      check(state, command, {running = true}, {})
      local data = command.data
      if state.tasks[data.task_id] then
        reject("duplicate_task", "the agent has task " .. data.task_id .. " already", {task_id = data.task_id})
      end
      if count(state.tasks) >= state.capacity then
        reject("busy", "the agent has all the tasks that it may have", {capacity = state.capacity})
      end
      return {type = "TaskAssigned", data = data}
    end,

    CompleteTask = function(state, command)
      check(state, command, {running = true}, {})
      local data = command.data
      local task = find_task(state, data.task_id)
      return {
        type = "TaskCompleted",
        data = {
          agent_id = data.agent_id,
          task_id = data.task_id,
          workflow_id = task.workflow_id,
          step_id = task.step_id,
          summary = data.summary,
        },
      }
    end,

    FailTask = function(state, command)
      check(state, command, {running = true}, {})
      local data = command.data
      local task = find_task(state, data.task_id)
      return {
        type = "TaskFailed",
        data = {
          agent_id = data.agent_id,
          task_id = data.task_id,
          workflow_id = task.workflow_id,
          step_id = task.step_id,
          reason = data.reason,
        },
      }
    end,
  },
}
