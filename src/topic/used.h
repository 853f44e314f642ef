/* used.h: lists in the order of last use, whose links live in what is listed. Of the list: newest, oldest; of each item: newer, older. */
#ifndef TOPIC_USED_H
#define TOPIC_USED_H

#define USED_REMOVE(list, item)                                                           \
    do {                                                                                  \
        *((item)->newer ? &(item)->newer->older : &(list)->newest) = (item)->older;       \
        *((item)->older ? &(item)->older->newer : &(list)->oldest) = (item)->newer;       \
    } while (0)

#define USED_NOW(list, item)                                                              \
    do {                                                                                  \
        (item)->newer = NULL;                                                             \
        (item)->older = (list)->newest;                                                   \
        *((list)->newest ? &(list)->newest->newer : &(list)->oldest) = (item);            \
        (list)->newest = (item);                                                          \
    } while (0)

#endif
