/* What the errors are called, and what to do about them: part of the public API (cairn/types.h). */
#include <cairn/cairn.h>

static const struct {
    const char *name, *hint;
} errors[] = {
    [-CAIRN_OK] = {"ok", "Nothing to do."},
    [-CAIRN_E_NOMEM] =
        {"nomem", "Give the process more memory, or send less at once, and try again."},
    [-CAIRN_E_INVALID] =
        {"invalid", "Mend what the detail names and send it again."},
    [-CAIRN_E_LIMIT] =
        {"limit", "Send less, or raise the limit that the detail names."},
    [-CAIRN_E_CONFLICT] =
        {"conflict", "Read the stream from the revision you knew, decide anew, append again."},
    [-CAIRN_E_CONDITION] =
        {"condition", "Read what matches the query after the position you knew, decide anew, append again."},
    [-CAIRN_E_GONE] =
        {"gone", "The stream was closed for good: write to another one."},
    [-CAIRN_E_NOTFOUND] =
        {"notfound", "Check the name; it may never have been written."},
    [-CAIRN_E_EXISTS] =
        {"exists", "Choose another name, or use what is there."},
    [-CAIRN_E_DENIED] =
        {"denied", "Streams whose names begin with '$' are Cairn's own; commands and queries may ask for a permission."},
    [-CAIRN_E_IO] =
        {"io", "Look after the disk or network that the detail names, then open the store again."},
    [-CAIRN_E_NOSPACE] =
        {"nospace", "Make room on the disk; writing goes on by itself when there is some."},
    [-CAIRN_E_CORRUPT] =
        {"corrupt", "In index/: `cairn reindex` computes it anew. In segments/: restore a backup, or with `cairn restore --to` "
                    "what lies before the damage."},
    [-CAIRN_E_VERSION] =
        {"version", "Open it with the version of Cairn that wrote it, or a newer one."},
    [-CAIRN_E_LOCKED] =
        {"locked", "Stop the process that the detail names, or work through its server."},
    [-CAIRN_E_READONLY] =
        {"readonly", "Open it for writing, or mend the permissions of the folder."},
    [-CAIRN_E_BUSY] =
        {"busy", "Wait a moment and try again; fewer requests at once would help."},
    [-CAIRN_E_TIMEOUT] =
        {"timeout", "Try again, or allow more time."},
    [-CAIRN_E_CLOSED] =
        {"closed", "The store is closing: open it again to go on."},
    [-CAIRN_E_END] =
        {"end", "There is nothing more now; later there may be."},
    [-CAIRN_E_UNSUPPORTED] =
        {"unsupported", "Use another backend, or a build that has it."},
    [-CAIRN_E_REJECTED] =
        {"rejected", "The app's rules say no: the code and message say why; another command may be allowed."},
    [-CAIRN_E_SCRIPT] =
        {"script", "Mend the app's code at the place that the detail names, and deploy it again."},
};

static size_t
index_of(cairn_err err)
{
    size_t index = (size_t)-(int64_t)err;
    return index < sizeof errors / sizeof errors[0] ? index : SIZE_MAX;
}

const char *
cairn_err_name(cairn_err err)
{
    size_t index = index_of(err);
    return index == SIZE_MAX ? "unknown" : errors[index].name;
}

const char *
cairn_err_hint(cairn_err err)
{
    size_t index = index_of(err);
    return index == SIZE_MAX ? "The program and its library are of different versions."
                             : errors[index].hint;
}

const char *
cairn_version(void)
{
    return CAIRN_VERSION;
}
