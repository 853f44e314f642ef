/* Paths of parameters, and plans: what is done for one event type, with the members that it needs as a tree. */
#include "projection_int.h"

#include <base/error.h>
#include <ctype.h>

/* ---- paths: ".customer.name", "[0]", "."org:resource"" -------------------------------------------- */

static bool
plain_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

bool
path_next(cairn_str path, size_t *at, char *to, struct path_part *ret)
{
    size_t i = *at;
    if (i >= path.size)
        return false;
    *ret = (struct path_part){.index = 0};
    if (path.data[i] == '[') {
        uint64_t index = 0;
        for (i++; i < path.size && path.data[i] != ']'; i++)
            if (index < UINT32_MAX)
                index = index * 10 + (uint64_t)(path.data[i] - '0');
        ret->index = index < UINT32_MAX ? (uint32_t)index : UINT32_MAX;
        *at = i + 1;
        return true;
    }
    ret->member = true;
    if (++i < path.size && path.data[i] == '"') {
        size_t size = 0;
        for (i++; i < path.size; i++) {
            if (path.data[i] == '"' && (i + 1 == path.size || path.data[i + 1] != '"'))
                break;
            i += path.data[i] == '"';
            to[size++] = path.data[i];
        }
        ret->name = (cairn_str){to, size};
        *at = i + 1;
        return true;
    }
    size_t begin = i;
    while (i < path.size && plain_byte(path.data[i]))
        i++;
    ret->name = (cairn_str){path.data + begin, i - begin};
    *at = i;
    return true;
}

void
path_put(struct buf *to, const struct path_part *part)
{
    if (!part->member) {
        buf_printf(to, "[%u]", part->index);
        return;
    }
    bool plain = part->name.size > 0;
    for (size_t i = 0; i < part->name.size; i++)
        plain = plain && plain_byte(part->name.data[i]);
    buf_put_char(to, '.');
    if (plain) {
        buf_put_str(to, part->name);
        return;
    }
    buf_put_char(to, '"');
    for (size_t i = 0; i < part->name.size; i++) {
        if (part->name.data[i] == '"')
            buf_put_char(to, '"');
        buf_put_char(to, part->name.data[i]);
    }
    buf_put_char(to, '"');
}

/* ---- plans ---------------------------------------------------------------------------------------------- */

static uint32_t
add_node(struct projection *projection, uint32_t parent, cairn_str name, uint32_t index)
{
    if (parent != NODE_NONE)
        for (uint32_t i = projection->nodes[parent].child; i != NODE_NONE; i = projection->nodes[i].sibling) {
            const struct path_node *node = &projection->nodes[i];
            if (name.data == NULL ? node->name.data == NULL && node->index == index
                                  : node->name.data != NULL && cairn_str_equal(node->name, name))
                return i;
        }
    size_t count = projection->node_count;
    if (count == PROJECTION_NODES_MAX)
        return NODE_NONE;
    if ((count & (count - 1)) == 0) {
        struct path_node *nodes = arena_alloc(&projection->arena, (count > 0 ? count * 2 : 1) * sizeof *nodes);
        if (nodes == NULL)
            return NODE_NONE;
        if (count > 0)
            memcpy(nodes, projection->nodes, count * sizeof *nodes);
        projection->nodes = nodes;
    }
    cairn_str kept = {0};
    if (name.data != NULL && (kept = arena_copy(&projection->arena, name)).data == NULL)
        return NODE_NONE;
    struct path_node *nodes = projection->nodes;
    nodes[count] = (struct path_node){.name = kept, .index = index, .child = NODE_NONE, .sibling = NODE_NONE,
                                      .slot = NODE_NONE};
    for (size_t i = 0; i < kept.size; i++)
        nodes[count].escaped = nodes[count].escaped || kept.data[i] == '"' || kept.data[i] == '\\';
    if (parent != NODE_NONE) {
        nodes[count].sibling = nodes[parent].child;
        nodes[parent].child = (uint32_t)count;
        nodes[parent].child_count++;
    }
    projection->node_count++;
    return (uint32_t)count;
}

static bool
add_path(struct projection *projection, uint32_t *root, uint32_t slot)
{
    cairn_str path = projection->slots[slot].path;
    char *name = arena_alloc(&projection->arena, path.size + 1);
    struct path_part part;
    if (*root == NODE_NONE)
        *root = add_node(projection, NODE_NONE, (cairn_str){0}, 0);
    uint32_t node = *root;
    for (size_t at = 0; name != NULL && node != NODE_NONE && path_next(path, &at, name, &part);)
        node = add_node(projection, node, part.member ? part.name : (cairn_str){0}, part.index);
    if (name == NULL || node == NODE_NONE)
        return false;
    projection->nodes[node].slot = slot;
    return true;
}

static bool
plan_slots(struct projection *projection, struct plan *plan, const struct statement *statement, uint16_t *slots)
{
    for (size_t i = 0; i < statement->bind_count; i++) {
        uint16_t slot = statement->binds[i];
        size_t j = 0;
        while (j < plan->slot_count && slots[j] != slot)
            j++;
        if (j < plan->slot_count)
            continue;
        slots[plan->slot_count++] = slot;
        enum field field = projection->slots[slot].field;
        plan->data_text = plan->data_text || field == FIELD_DATA;
        if (field == FIELD_DATA_PATH && !add_path(projection, &plan->data_root, slot))
            return false;
        if (field == FIELD_META_PATH && !add_path(projection, &plan->meta_root, slot))
            return false;
    }
    return true;
}

static bool
plan_type(struct projection *projection, struct plan *plan, cairn_str type, const struct names *sections)
{
    static const cairn_str ANY = {"*", 1};
    uint16_t *statements = arena_alloc(&projection->arena, (projection->statement_count + 1) * sizeof *statements);
    uint16_t *slots = arena_alloc(&projection->arena, (projection->slot_count + 1) * sizeof *slots);
    if (statements == NULL || slots == NULL)
        return false;
    *plan = (struct plan){.type = type, .statements = statements, .slots = slots, .data_root = NODE_NONE,
                          .meta_root = NODE_NONE};
    for (size_t i = 0; i < projection->statement_count; i++) {
        const struct statement *statement = &projection->statements[i];
        const struct names *types = &sections[statement->section];
        if (!projection_name_has(types, type) && !projection_name_has(types, ANY))
            continue;
        statements[plan->statement_count++] = (uint16_t)i;
        if (!plan_slots(projection, plan, statement, slots))
            return false;
    }
    return true;
}

cairn_err
projection_plan_all(struct projection *projection, const struct names *sections, size_t section_count,
                    cairn_error *error)
{
    (void)section_count;
    size_t count = projection->types.count;
    projection->plans = arena_zalloc(&projection->arena, (count + 1) * sizeof *projection->plans);
    bool good = projection->plans != NULL;
    for (size_t i = 0; i < count && good; i++) {
        struct plan *plan = &projection->plans[projection->plan_count++];
        good = plan_type(projection, plan, projection->types.items[i], sections);
        if (cairn_str_equal(plan->type, CAIRN_STR("*")))
            projection->other = plan;
    }
    return good ? CAIRN_OK
                : error_set(error, CAIRN_E_LIMIT, "no memory for the projection's plans, or more than %d paths",
                            PROJECTION_NODES_MAX);
}
