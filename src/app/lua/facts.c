/* `event` and `command`: tables whose members are made when they are looked at.
 *
 * A handler reads two or three of an event's ten members; texts of ids and times cost more than the rest of the call. The
 * table holds `data` (and what was looked at); the metatable makes the others from the C structure, as long as the call
 * runs that the table was made for. Such a table is no JSON: who wants to keep parts of an event names them. */
#include "sandbox.h"

#include <base/text.h>

#include "values.h"

typedef void (*push_member)(lua_State *L, const struct lua_facts *facts);

static void
push_str(lua_State *L, cairn_str text)
{
    lua_pushlstring(L, text.data ? text.data : "", text.size);
}

static void
push_id(lua_State *L, cairn_uuid id)
{
    char text[UUID_TEXT_SIZE];
    format_uuid(id, text);
    lua_pushlstring(L, text, UUID_TEXT_SIZE - 1);
}

static void
push_time(lua_State *L, int64_t time_us)
{
    char text[TIME_TEXT_SIZE];
    lua_pushlstring(L, text, format_time(time_us, text));
}

static void event_type(lua_State *L, const struct lua_facts *facts) { push_str(L, facts->event->event.type); }
static void event_id(lua_State *L, const struct lua_facts *facts) { push_id(L, facts->event->event.id); }
static void event_time(lua_State *L, const struct lua_facts *facts) { push_time(L, facts->event->time_us); }
static void event_time_us(lua_State *L, const struct lua_facts *facts) { lua_pushinteger(L, facts->event->time_us); }
static void event_stream(lua_State *L, const struct lua_facts *facts) { push_str(L, facts->event->stream); }
static void event_correlation(lua_State *L, const struct lua_facts *facts) { push_str(L, facts->event->event.correlation); }

static void
event_revision(lua_State *L, const struct lua_facts *facts)
{
    lua_pushinteger(L, (lua_Integer)facts->event->revision);
}

static void
event_position(lua_State *L, const struct lua_facts *facts)
{
    lua_pushinteger(L, (lua_Integer)facts->event->position);
}

static void
event_tags(lua_State *L, const struct lua_facts *facts)
{
    const cairn_event *event = &facts->event->event;
    lua_createtable(L, (int)event->tag_count, 0);
    for (size_t i = 0; i < event->tag_count; i++) {
        push_str(L, event->tags[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    value_mark_array(L, -1);
}

static void
event_meta(lua_State *L, const struct lua_facts *facts)
{
    cairn_str meta = facts->event->event.meta;
    if (meta.size)
        value_push_text(L, meta, "event.meta");
    else
        lua_newtable(L);
}

static void command_name(lua_State *L, const struct lua_facts *facts) { push_str(L, facts->command->name); }
static void command_id(lua_State *L, const struct lua_facts *facts) { push_id(L, facts->command->id); }
static void command_time(lua_State *L, const struct lua_facts *facts) { push_time(L, facts->command->time_us); }
static void command_time_us(lua_State *L, const struct lua_facts *facts) { lua_pushinteger(L, facts->command->time_us); }
static void command_actor(lua_State *L, const struct lua_facts *facts) { push_str(L, facts->command->actor); }
static void command_correlation(lua_State *L, const struct lua_facts *facts) { push_str(L, facts->command->correlation); }

struct member {
    const char *name;
    push_member push;
};
static const struct member event_members[] = {
    {"type", event_type}, {"id", event_id}, {"time", event_time}, {"time_us", event_time_us},
    {"stream", event_stream}, {"revision", event_revision}, {"position", event_position}, {"tags", event_tags},
    {"meta", event_meta}, {"correlation", event_correlation}, {NULL, NULL}};
static const struct member command_members[] = {
    {"name", command_name}, {"id", command_id}, {"time", command_time}, {"time_us", command_time_us},
    {"actor", command_actor}, {"correlation", command_correlation}, {NULL, NULL}};

static const struct member *
members_of(const struct lua_facts *facts)
{
    return facts->event ? event_members : command_members;
}

/* Make the member and keep it in the table. */
static void
fill(lua_State *L, int table, const struct member *member)
{
    member->push(L, &machine_of(L)->facts);
    lua_pushvalue(L, -1);
    lua_setfield(L, table, member->name); /* there is no __newindex */
}

static int
fact_index(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    const char *name = lua_tostring(L, 2);
    if (lua_topointer(L, 1) != machine->fact_table)
        return machine_error(L, "'%s' of an event or command whose call is over", name);
    for (const struct member *member = members_of(&machine->facts); member->name; member++)
        if (strcmp(member->name, name) == 0) {
            fill(L, 1, member);
            return 1;
        }
    return 0;
}

void
facts_complete(lua_State *L, int index)
{
    struct lua_machine *machine = machine_of(L);
    index = lua_absindex(L, index);
    if (lua_topointer(L, index) != machine->fact_table)
        return;
    int top = lua_gettop(L);
    for (const struct member *member = members_of(&machine->facts); member->name; member++) {
        lua_pushstring(L, member->name);
        if (lua_rawget(L, index) == LUA_TNIL)
            fill(L, index, member);
        lua_settop(L, top);
    }
}

void
facts_push(lua_State *L, const struct lua_facts *facts)
{
    struct lua_machine *machine = machine_of(L);
    lua_createtable(L, 0, 4);
    lua_insert(L, -2);
    lua_setfield(L, -2, "data");
    lua_rawgeti(L, LUA_REGISTRYINDEX, machine->fact_ref);
    lua_setmetatable(L, -2);
    machine->facts = *facts;
    machine->fact_table = lua_topointer(L, -1);
}

void
facts_open(lua_State *L)
{
    struct lua_machine *machine = machine_of(L);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, fact_index);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    machine->fact_meta = lua_topointer(L, -1);
    machine->fact_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
