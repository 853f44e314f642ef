-- A research workflow.
--
--   (none) ──Create──► created ──Plan──► planned ──Start──► running ──Complete──► completed
--                                                            │  ▲
--                                                       Pause ▼  │ Resume
--                                                           paused
--   Cancel leads to cancelled from created, planned, running and paused.
--
-- A step is open, assigned, completed or failed; a failed step may be assigned again.

-- Which states a command may come in; in every other one it is rejected.
local allowed = {
  CreateWorkflow = {none = true},
  PlanWorkflow = {created = true, planned = true},
  StartWorkflow = {planned = true},
  AssignStep = {running = true},
  CompleteStep = {running = true, paused = true},
  FailStep = {running = true, paused = true},
  PauseWorkflow = {running = true},
  ResumeWorkflow = {paused = true},
  CompleteWorkflow = {running = true},
  CancelWorkflow = {created = true, planned = true, running = true, paused = true},
}

-- The name of the refusal by the state that a workflow is in. A more special one comes first.
local refusals = {
  PlanWorkflow = {running = "already_started", paused = "already_started"},
  StartWorkflow = {created = "not_planned", running = "already_started", paused = "already_started"},
  ResumeWorkflow = {created = "not_paused", planned = "not_paused", running = "not_paused"},
}
local general = {
  none = {"not_found", "there is no such workflow"},
  created = {"not_started", "the workflow is not started yet"},
  planned = {"not_started", "the workflow is not started yet"},
  running = {"already_exists", "there is such a workflow already"},
  paused = {"paused", "the workflow is paused"},
  completed = {"finished", "the workflow is completed"},
  cancelled = {"finished", "the workflow is cancelled"},
}

local function check_status(state, command)
  local status = state.status
  if allowed[command.name][status] then
    return
  end
  if command.name == "CreateWorkflow" then
    reject("already_exists", "there is such a workflow already", {status = status})
  end
  local special = refusals[command.name] and refusals[command.name][status]
  if special then
    reject(special, command.name .. " does not go with a workflow that is " .. status, {status = status})
  end
  reject(general[status][1], general[status][2], {status = status})
end

local function find_step(state, step_id)
  local step = state.steps[step_id]
  if not step then
    reject("unknown_step", "the plan has no step " .. step_id, {step_id = step_id})
  end
  return step
end

-- The step, when it is assigned to the agent that says so.
local function own_step(state, data)
  local step = find_step(state, data.step_id)
  if step.status ~= "assigned" then
    reject("step_not_assigned", "step " .. data.step_id .. " is " .. step.status, {status = step.status})
  end
  if step.agent_id ~= data.agent_id then
    reject("not_your_step", "step " .. data.step_id .. " is assigned to " .. step.agent_id, {agent_id = step.agent_id})
  end
  return step
end

local function set_status(status)
  return function(state)
    state.status = status
    return state
  end
end

-- The command's data as the data of an event, where they are the same.
local function happened(type)
  return function(state, command)
    check_status(state, command)
    return {type = type, data = command.data}
  end
end

return {
  initial = {status = "none", steps = {}},

  evolve = {
    WorkflowCreated = set_status("created"),
    WorkflowPlanned = function(state, event)
      state.status = "planned"
      state.steps = {}
      for _, step in ipairs(event.data.steps) do
        state.steps[step.step_id] = {title = step.title, status = "open", attempts = 0}
      end
      return state
    end,
    WorkflowStarted = set_status("running"),
    StepAssigned = function(state, event)
      local step = state.steps[event.data.step_id]
      step.status = "assigned"
      step.agent_id = event.data.agent_id
      step.attempts = event.data.attempt
      return state
    end,
    StepCompleted = function(state, event)
      state.steps[event.data.step_id].status = "completed"
      return state
    end,
    StepFailed = function(state, event)
      state.steps[event.data.step_id].status = "failed"
      return state
    end,
    WorkflowPaused = set_status("paused"),
    WorkflowResumed = set_status("running"),
    WorkflowCompleted = set_status("completed"),
    WorkflowCancelled = set_status("cancelled"),
  },

  decide = {
    CreateWorkflow = happened("WorkflowCreated"),

    PlanWorkflow = function(state, command)
      check_status(state, command)
      local seen = {}
      for _, step in ipairs(command.data.steps) do
        if seen[step.step_id] then
          reject("duplicate_step", "two steps are called " .. step.step_id, {step_id = step.step_id})
        end
        seen[step.step_id] = true
      end
      return {type = "WorkflowPlanned", data = command.data}
    end,

    StartWorkflow = happened("WorkflowStarted"),

    AssignStep = function(state, command)
      check_status(state, command)
      local data = command.data
      local step = find_step(state, data.step_id)
      if step.status == "assigned" then
        reject("step_assigned", "step " .. data.step_id .. " is assigned to " .. step.agent_id, {agent_id = step.agent_id})
      elseif step.status == "completed" then
        reject("step_completed", "step " .. data.step_id .. " is completed")
      end
      return {
        type = "StepAssigned",
        data = {
          workflow_id = data.workflow_id,
          step_id = data.step_id,
          title = step.title,
          agent_id = data.agent_id,
          attempt = step.attempts + 1,
        },
      }
    end,

    CompleteStep = function(state, command)
      check_status(state, command)
      local data = command.data
      local step = own_step(state, data)
      return {
        type = "StepCompleted",
        data = {
          workflow_id = data.workflow_id,
          step_id = data.step_id,
          title = step.title,
          agent_id = data.agent_id,
          findings = data.findings,
        },
      }
    end,

    FailStep = function(state, command)
      check_status(state, command)
      local data = command.data
      local step = own_step(state, data)
      return {
        type = "StepFailed",
        data = {
          workflow_id = data.workflow_id,
          step_id = data.step_id,
          title = step.title,
          agent_id = data.agent_id,
          reason = data.reason,
        },
      }
    end,

    PauseWorkflow = happened("WorkflowPaused"),
    ResumeWorkflow = happened("WorkflowResumed"),

    CompleteWorkflow = function(state, command)
      check_status(state, command)
      local open = {}
      for step_id, step in pairs(state.steps) do
        if step.status ~= "completed" then
          open[#open + 1] = step_id
        end
      end
      if #open > 0 then
        table.sort(open) -- pairs has no order of its own, and a decision must always be the same
        reject("steps_open", "not completed: " .. table.concat(open, ", "), {steps = array(open)})
      end
      return {type = "WorkflowCompleted", data = command.data}
    end,

    CancelWorkflow = happened("WorkflowCancelled"),
  },
}
