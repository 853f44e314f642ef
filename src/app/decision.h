/* app/decision.h: what a decider has decided, until the bus has made an append of it. One thread at a time. */
#ifndef APP_DECISION_H
#define APP_DECISION_H

#include <base/arena.h>
#include <cairn/app.h>

struct decided {
    cairn_str stream; /* empty: the command's own */
    cairn_event event;
};

struct cairn_decision {
    struct arena arena;
    struct decided *events;
    size_t count, capacity;
    size_t count_max; /* of events; 0: 4,096 */
    bool rejected;
    cairn_str code, message, details;
};

void decision_clear(struct cairn_decision *decision);
void decision_free(struct cairn_decision *decision);

#endif
