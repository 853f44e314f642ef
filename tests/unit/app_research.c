/* Goal: apps/research takes every legal transition and refuses every illegal one by its name.
 * Method: each of its two Lua deciders in every state that it knows, brought there by commands; every command in each. */
#include "test.h"

#include <app/bundle.h>
#include <app/decision.h>
#include <app/lua/lua.h>
#include <base/json.h>

struct life {
    cairn_decider *decider;
    void *self, *state;
    struct cairn_decision decision;
};

static struct bundle research;

static int
load(void **state)
{
    cairn_error error = {0};
    (void)state;
    return bundle_read(os_real(), "apps/research", NULL, NULL, &research, &error);
}

static int
unload(void **state)
{
    (void)state;
    bundle_free(&research);
    return 0;
}

static void
begin(struct life *life, const char *file)
{
    const struct lua_sources sources = {research.files, research.count};
    const struct lua_limits limits = {0};
    cairn_error error = {0};
    *life = (struct life){0};
    cairn_err err = lua_decider_make("research", cairn_cstr(file), &sources, &limits, &life->decider, &error);
    if (err != CAIRN_OK)
        fail_msg("%s: %s", file, error.detail);
    CHECK_OK(life->decider->open(life->decider->module, &life->self, &error));
    CHECK_OK(life->decider->state_new(life->self, CAIRN_STR("x-1"), &life->state, &error));
}

static void
end(struct life *life)
{
    life->decider->state_free(life->self, life->state);
    life->decider->close(life->self);
    decision_free(&life->decision);
    lua_decider_free(life->decider);
}

/* Decide; what happens, happens. Returns the type of the first event or the rejection's code. */
static const char *
play(struct life *life, const char *name, const char *data)
{
    static char answer[128];
    cairn_error error = {0};
    const cairn_command command = {.name = cairn_cstr(name), .data = cairn_cstr(data), .time_us = 1};
    decision_clear(&life->decision);
    cairn_err err = life->decider->decide(life->self, life->state, &command, &life->decision, &error);
    if (err != CAIRN_OK && err != CAIRN_E_REJECTED)
        fail_msg("%s %s: %s: %s", name, data, cairn_err_name(err), error.detail);
    cairn_str said = life->decision.rejected ? life->decision.code : life->decision.count ? life->decision.events[0].event.type : CAIRN_STR("nothing");
    snprintf(answer, sizeof answer, "%.*s", (int)said.size, said.data);
    for (size_t i = 0; !life->decision.rejected && i < life->decision.count; i++) {
        const cairn_recorded event = {.stream = CAIRN_STR("x-1"), .event = life->decision.events[i].event};
        err = life->decider->evolve(life->self, life->state, &event, &error);
        if (err != CAIRN_OK)
            fail_msg("evolve after %s: %s", name, error.detail);
    }
    return answer;
}

struct order {
    const char *name, *data;
};

#define W "\"workflow_id\":\"w1\""
#define STEP W ",\"step_id\":\"s1\",\"agent_id\":\"a1\""
static const struct order create = {"CreateWorkflow", "{" W ",\"title\":\"t\",\"question\":\"q\"}"};
static const struct order plan = {"PlanWorkflow", "{" W ",\"steps\":[{\"step_id\":\"s1\",\"title\":\"one\"},{\"step_id\":\"s2\",\"title\":\"two\"}]}"};
static const struct order start = {"StartWorkflow", "{" W "}"};
static const struct order assign = {"AssignStep", "{" STEP "}"};
static const struct order complete_step = {"CompleteStep", "{" STEP ",\"findings\":[]}"};
static const struct order fail_step = {"FailStep", "{" STEP ",\"reason\":\"r\"}"};
static const struct order pause_it = {"PauseWorkflow", "{" W ",\"reason\":\"r\"}"};
static const struct order resume = {"ResumeWorkflow", "{" W "}"};
static const struct order complete = {"CompleteWorkflow", "{" W ",\"conclusion\":\"c\"}"};
static const struct order cancel = {"CancelWorkflow", "{" W ",\"reason\":\"r\"}"};

/* Columns of the tables below. */
static const struct order *const workflow_orders[] = {&create, &plan, &start, &assign, &complete_step, &fail_step, &pause_it, &resume, &complete, &cancel};
enum { WORKFLOW_ORDERS = 10, WAY_MAX = 8 };

static const struct {
    const char *state;
    const struct order *way[WAY_MAX];
    const char *answers[WORKFLOW_ORDERS]; /* in the order of workflow_orders; NULL: it is legal, its event comes */
} workflow_table[] = {
    {"none", {NULL}, {NULL, "not_found", "not_found", "not_found", "not_found", "not_found", "not_found", "not_found", "not_found", "not_found"}},
    {"created", {&create},
     {"already_exists", NULL, "not_planned", "not_started", "not_started", "not_started", "not_started", "not_paused", "not_started", NULL}},
    {"planned", {&create, &plan},
     {"already_exists", NULL, NULL, "not_started", "not_started", "not_started", "not_started", "not_paused", "not_started", NULL}},
    {"running", {&create, &plan, &start},
     {"already_exists", "already_started", "already_started", NULL, "step_not_assigned", "step_not_assigned", NULL, "not_paused", "steps_open", NULL}},
    {"step assigned", {&create, &plan, &start, &assign},
     {"already_exists", "already_started", "already_started", "step_assigned", NULL, NULL, NULL, "not_paused", "steps_open", NULL}},
    {"step completed", {&create, &plan, &start, &assign, &complete_step},
     {"already_exists", "already_started", "already_started", "step_completed", "step_not_assigned", "step_not_assigned", NULL, "not_paused", "steps_open", NULL}},
    {"step failed", {&create, &plan, &start, &assign, &fail_step},
     {"already_exists", "already_started", "already_started", NULL, "step_not_assigned", "step_not_assigned", NULL, "not_paused", "steps_open", NULL}},
    {"paused", {&create, &plan, &start, &assign, &pause_it},
     {"already_exists", "already_started", "already_started", "paused", NULL, NULL, "paused", NULL, "paused", NULL}},
    {"resumed", {&create, &plan, &start, &assign, &pause_it, &resume},
     {"already_exists", "already_started", "already_started", "step_assigned", NULL, NULL, NULL, "not_paused", "steps_open", NULL}},
    {"cancelled", {&create, &cancel},
     {"already_exists", "finished", "finished", "finished", "finished", "finished", "finished", "finished", "finished", "finished"}},
};

/* The event that a command leads to when it is legal. */
static const char *const workflow_events[] = {"WorkflowCreated", "WorkflowPlanned", "WorkflowStarted", "StepAssigned", "StepCompleted",
                                              "StepFailed", "WorkflowPaused", "WorkflowResumed", "WorkflowCompleted", "WorkflowCancelled"};

TEST(every_command_in_every_state_of_a_workflow)
{
    for (size_t i = 0; i < sizeof workflow_table / sizeof *workflow_table; i++)
        for (size_t j = 0; j < WORKFLOW_ORDERS; j++) {
            struct life life;
            const char *expected = workflow_table[i].answers[j] ? workflow_table[i].answers[j] : workflow_events[j];
            begin(&life, "workflow.lua");
            for (size_t k = 0; k < WAY_MAX && workflow_table[i].way[k]; k++)
                play(&life, workflow_table[i].way[k]->name, workflow_table[i].way[k]->data);
            const char *answer = play(&life, workflow_orders[j]->name, workflow_orders[j]->data);
            if (strcmp(answer, expected) != 0)
                fail_msg("%s of a workflow that is %s: %s, not %s", workflow_orders[j]->name, workflow_table[i].state, answer, expected);
            end(&life);
        }
}

TEST(a_workflow_to_its_end)
{
    struct life life;
    begin(&life, "workflow.lua");
    CHECK_STR(play(&life, create.name, create.data), "WorkflowCreated");
    CHECK_STR(play(&life, "PlanWorkflow", "{" W ",\"steps\":[{\"step_id\":\"s1\",\"title\":\"a\"},{\"step_id\":\"s1\",\"title\":\"b\"}]}"), "duplicate_step");
    CHECK_STR(play(&life, plan.name, plan.data), "WorkflowPlanned");
    CHECK_STR(play(&life, "PlanWorkflow", "{" W ",\"steps\":[{\"step_id\":\"s1\",\"title\":\"one\"}]}"), "WorkflowPlanned");
    CHECK_STR(play(&life, start.name, start.data), "WorkflowStarted");
    CHECK_STR(play(&life, "AssignStep", "{" W ",\"step_id\":\"s2\",\"agent_id\":\"a1\"}"), "unknown_step"); /* planned away */
    CHECK_STR(play(&life, assign.name, assign.data), "StepAssigned");
    CHECK_STR(play(&life, "CompleteStep", "{" W ",\"step_id\":\"s1\",\"agent_id\":\"a2\",\"findings\":[]}"), "not_your_step");
    CHECK_STR(play(&life, fail_step.name, fail_step.data), "StepFailed");
    CHECK_STR(play(&life, assign.name, assign.data), "StepAssigned");
    CHECK(memmem(life.decision.events[0].event.data.data, life.decision.events[0].event.data.size, "\"attempt\":2", 11));
    CHECK_STR(play(&life, complete_step.name, complete_step.data), "StepCompleted");
    CHECK_STR(play(&life, complete.name, complete.data), "WorkflowCompleted");
    for (size_t i = 1; i < WORKFLOW_ORDERS; i++)
        CHECK_STR(play(&life, workflow_orders[i]->name, workflow_orders[i]->data), "finished");
    end(&life);
}

#define A "\"agent_id\":\"a1\""
static const struct order agent_orders[] = {
    {"CreateAgent", "{" A ",\"name\":\"n\"}"},
    {"ConfigureAgent", "{" A ",\"model\":\"m\",\"capacity\":1}"},
    {"StartAgent", "{" A "}"},
    {"StopAgent", "{" A "}"},
    {"AssignTask", "{" A ",\"task_id\":\"t1\"," W ",\"step_id\":\"s1\"}"},
    {"CompleteTask", "{" A ",\"task_id\":\"t1\"}"},
    {"FailTask", "{" A ",\"task_id\":\"t1\",\"reason\":\"r\"}"},
};
enum { CREATE, CONFIGURE, START, STOP, ASSIGN, COMPLETE, FAIL, AGENT_ORDERS, NO_MORE };
static const char *const agent_events[] = {"AgentCreated", "AgentConfigured", "AgentStarted", "AgentStopped", "TaskAssigned", "TaskCompleted", "TaskFailed"};

static const struct {
    const char *state;
    int way[WAY_MAX];
    const char *answers[AGENT_ORDERS];
} agent_table[] = {
    {"none", {NO_MORE}, {NULL, "not_found", "not_found", "not_found", "not_found", "not_found", "not_found"}},
    {"created", {CREATE, NO_MORE}, {"already_exists", NULL, "not_configured", "not_running", "not_running", "not_running", "not_running"}},
    {"configured", {CREATE, CONFIGURE, NO_MORE}, {"already_exists", NULL, NULL, "not_running", "not_running", "not_running", "not_running"}},
    {"running", {CREATE, CONFIGURE, START, NO_MORE}, {"already_exists", "already_running", "already_running", NULL, NULL, "unknown_task", "unknown_task"}},
    {"at work", {CREATE, CONFIGURE, START, ASSIGN, NO_MORE},
     {"already_exists", "already_running", "already_running", "tasks_open", "duplicate_task", NULL, NULL}},
    {"done", {CREATE, CONFIGURE, START, ASSIGN, COMPLETE, NO_MORE},
     {"already_exists", "already_running", "already_running", NULL, NULL, "unknown_task", "unknown_task"}},
    {"stopped", {CREATE, CONFIGURE, START, STOP, NO_MORE}, {"already_exists", NULL, NULL, "not_running", "not_running", "not_running", "not_running"}},
};

TEST(every_command_in_every_state_of_an_agent)
{
    for (size_t i = 0; i < sizeof agent_table / sizeof *agent_table; i++)
        for (size_t j = 0; j < AGENT_ORDERS; j++) {
            struct life life;
            const char *expected = agent_table[i].answers[j] ? agent_table[i].answers[j] : agent_events[j];
            begin(&life, "agent.lua");
            for (size_t k = 0; agent_table[i].way[k] != NO_MORE; k++)
                play(&life, agent_orders[agent_table[i].way[k]].name, agent_orders[agent_table[i].way[k]].data);
            const char *answer = play(&life, agent_orders[j].name, agent_orders[j].data);
            if (strcmp(answer, expected) != 0)
                fail_msg("%s of an agent that is %s: %s, not %s", agent_orders[j].name, agent_table[i].state, answer, expected);
            end(&life);
        }
}

TEST(an_agent_takes_no_more_than_it_may)
{
    struct life life;
    begin(&life, "agent.lua");
    for (int i = CREATE; i <= START; i++)
        play(&life, agent_orders[i].name, agent_orders[i].data);
    CHECK_STR(play(&life, agent_orders[ASSIGN].name, agent_orders[ASSIGN].data), "TaskAssigned");
    CHECK_STR(play(&life, "AssignTask", "{" A ",\"task_id\":\"t2\"," W ",\"step_id\":\"s2\"}"), "busy");
    CHECK_STR(play(&life, agent_orders[FAIL].name, agent_orders[FAIL].data), "TaskFailed");
    CHECK_STR(play(&life, "AssignTask", "{" A ",\"task_id\":\"t2\"," W ",\"step_id\":\"s2\"}"), "TaskAssigned");
    end(&life);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_command_in_every_state_of_a_workflow),
        RUN(a_workflow_to_its_end),
        RUN(every_command_in_every_state_of_an_agent),
        RUN(an_agent_takes_no_more_than_it_may),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
