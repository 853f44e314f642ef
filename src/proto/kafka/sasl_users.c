/* Who may come: names and what is kept of their passwords. A hash table under one lock: it is asked once a connection. */
#include <proto/kafka/sasl_int.h>

#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>

#define SALT_BYTES 16u
#define SLOTS_MIN 64u

struct user {
    struct user *next;
    uint64_t hash;
    bool fixed[2];
    struct sasl_credential credentials[2]; /* SCRAM-SHA-256, -512 */
    uint16_t name_size;
    char name[];
};

struct sasl_users {
    pthread_mutex_t lock;
    uint8_t secret[32];
    struct user **slots;
    size_t slot_count, count;
};

static unsigned
kind_of(enum sasl_mechanism mechanism)
{
    return mechanism == SASL_SCRAM_SHA_512 ? 1 : 0;
}

cairn_err
sasl_users_new(const uint8_t secret[32], struct sasl_users **ret, cairn_error *error)
{
    struct sasl_users *users = calloc(1, sizeof *users);
    struct user **slots = calloc(SLOTS_MIN, sizeof *slots);
    if (!users || !slots) {
        free(users);
        free(slots);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    pthread_mutex_init(&users->lock, NULL);
    memcpy(users->secret, secret, sizeof users->secret);
    users->slots = slots;
    users->slot_count = SLOTS_MIN;
    *ret = users;
    return CAIRN_OK;
}

static void
user_free(struct user *user)
{
    OPENSSL_cleanse(user->credentials, sizeof user->credentials);
    free(user);
}

void
sasl_users_free(struct sasl_users *users)
{
    if (!users)
        return;
    for (size_t i = 0; i < users->slot_count; i++)
        for (struct user *user = users->slots[i], *next; user; user = next) {
            next = user->next;
            user_free(user);
        }
    free(users->slots);
    pthread_mutex_destroy(&users->lock);
    OPENSSL_cleanse(users->secret, sizeof users->secret);
    free(users);
}

static uint64_t
name_hash(const struct sasl_users *users, cairn_str name)
{
    return hash64(name.data, name.size, load64(users->secret));
}

/* Under the lock: where the user's pointer is, or would be. */
static struct user **
find(struct sasl_users *users, cairn_str name, uint64_t hash)
{
    struct user **link = &users->slots[hash & (users->slot_count - 1)];
    while (*link && ((*link)->hash != hash || !cairn_str_equal((cairn_str){(*link)->name, (*link)->name_size}, name)))
        link = &(*link)->next;
    return link;
}

/* Longer chains, where there is no memory for more slots, are not an error. */
static void
grow(struct sasl_users *users)
{
    size_t count = users->slot_count * 2;
    struct user **slots = calloc(count, sizeof *slots);
    if (!slots)
        return;
    for (size_t i = 0; i < users->slot_count; i++)
        for (struct user *user = users->slots[i], *next; user; user = next) {
            next = user->next;
            user->next = slots[user->hash & (count - 1)];
            slots[user->hash & (count - 1)] = user;
        }
    free(users->slots);
    users->slots = slots;
    users->slot_count = count;
}

/* Under the lock. NULL: no memory. */
static struct user *
add(struct sasl_users *users, cairn_str name, uint64_t hash)
{
    if (users->count >= users->slot_count)
        grow(users);
    struct user *user = calloc(1, sizeof *user + name.size);
    if (!user)
        return NULL;
    user->hash = hash;
    user->name_size = (uint16_t)name.size;
    memcpy(user->name, name.data, name.size);
    struct user **slot = &users->slots[hash & (users->slot_count - 1)];
    user->next = *slot;
    *slot = user;
    users->count++;
    return user;
}

static void
drop(struct sasl_users *users, struct user **link)
{
    struct user *user = *link;
    *link = user->next;
    users->count--;
    user_free(user);
}

cairn_err
sasl_name_refuse(cairn_error *error)
{
    return error_set(error, CAIRN_E_INVALID, "a user's name is 1 to %d bytes of UTF-8 without control characters", SASL_NAME_MAX);
}

cairn_err
sasl_users_put(struct sasl_users *users, cairn_str name, enum sasl_mechanism mechanism, const struct sasl_credential *credential,
               bool fixed, cairn_error *error)
{
    unsigned kind = kind_of(mechanism);
    cairn_err err = CAIRN_OK;
    if (!sasl_name_valid(name))
        return sasl_name_refuse(error);
    uint64_t hash = name_hash(users, name);
    pthread_mutex_lock(&users->lock);
    struct user **link = find(users, name, hash), *user = *link;
    if (user && user->fixed[kind] && !fixed)
        err = error_set(error, CAIRN_E_READONLY, "the user is in the users' file, which alone changes it");
    else if (!user && credential->iterations == 0)
        ;
    else if (!user && users->count >= SASL_USERS_MAX)
        err = error_set(error, CAIRN_E_LIMIT, "there are %u users, which is the limit", SASL_USERS_MAX);
    else if (!user && !(user = add(users, name, hash)))
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    else {
        user->credentials[kind] = *credential;
        user->fixed[kind] = fixed;
        if (user->credentials[0].iterations == 0 && user->credentials[1].iterations == 0)
            drop(users, find(users, name, hash));
    }
    pthread_mutex_unlock(&users->lock);
    return err;
}

bool
sasl_users_get(struct sasl_users *users, cairn_str name, enum sasl_mechanism mechanism, struct sasl_credential *ret)
{
    pthread_mutex_lock(&users->lock);
    struct user *user = *find(users, name, name_hash(users, name));
    bool there = user && user->credentials[kind_of(mechanism)].iterations > 0;
    if (there)
        *ret = user->credentials[kind_of(mechanism)];
    pthread_mutex_unlock(&users->lock);
    return there;
}

bool
sasl_users_is_fixed(struct sasl_users *users, cairn_str name)
{
    pthread_mutex_lock(&users->lock);
    struct user *user = *find(users, name, name_hash(users, name));
    bool fixed = user && (user->fixed[0] || user->fixed[1]);
    pthread_mutex_unlock(&users->lock);
    return fixed;
}

bool
sasl_users_has_room(struct sasl_users *users, cairn_str name)
{
    pthread_mutex_lock(&users->lock);
    bool room = *find(users, name, name_hash(users, name)) || users->count < SASL_USERS_MAX;
    pthread_mutex_unlock(&users->lock);
    return room;
}

void
sasl_users_each(struct sasl_users *users, sasl_user_visit visit, void *context)
{
    bool more = true;
    pthread_mutex_lock(&users->lock);
    for (size_t i = 0; more && i < users->slot_count; i++)
        for (struct user *user = users->slots[i]; more && user; user = user->next) {
            uint32_t iterations[2] = {user->credentials[0].iterations, user->credentials[1].iterations};
            more = visit(context, (cairn_str){user->name, user->name_size}, iterations);
        }
    pthread_mutex_unlock(&users->lock);
}

/* A salt that is the same for this name whenever it is asked for, and that nobody can foresee. */
static void
salt_for(const struct sasl_users *users, cairn_str name, enum sasl_mechanism mechanism, uint8_t ret[SALT_BYTES])
{
    char text[SASL_NAME_MAX + 1];
    uint8_t hash[64] = {0};
    text[0] = (char)mechanism;
    memcpy(text + 1, name.data, name.size);
    (void)sasl_hmac(SASL_SCRAM_SHA_256, (cairn_str){(const char *)users->secret, sizeof users->secret},
                    (cairn_str){text, name.size + 1}, hash);
    memcpy(ret, hash, SALT_BYTES);
}

bool
sasl_users_find(struct sasl_users *users, cairn_str name, enum sasl_mechanism mechanism, struct sasl_credential *ret)
{
    struct sasl_credential none = {.iterations = SASL_ITERATIONS, .salt_size = SALT_BYTES};
    salt_for(users, name, mechanism, none.salt);
    *ret = none;
    return sasl_users_get(users, name, mechanism, ret);
}

/* ---- the users' file ----------------------------------------------------------------------------------------------------- */

static bool
get_bytes(cairn_str coded, size_t min, size_t max, uint8_t *to, size_t *ret_size)
{
    struct buf bytes = {0};
    bool fits = base64_get(&bytes, coded) && !bytes.failed && bytes.size >= min && bytes.size <= max;
    if (fits) {
        memcpy(to, bytes.data, bytes.size);
        *ret_size = bytes.size;
    }
    buf_free(&bytes);
    return fits;
}

/* iterations:salt:stored:server */
static const char *
read_credential(enum sasl_mechanism mechanism, cairn_str text, struct sasl_credential *ret)
{
    cairn_str iterations, salt, stored;
    uint64_t n;
    size_t size = sasl_hash_size(mechanism), salt_size, key_size;
    memset(ret, 0, sizeof *ret);
    if (!sasl_cut(&text, ':', &iterations) || !sasl_cut(&text, ':', &salt) || !sasl_cut(&text, ':', &stored))
        return "expected name:mechanism:iterations:salt:stored:server";
    if (!parse_u64(iterations, &n) || n < SASL_ITERATIONS_MIN || n > SASL_ITERATIONS_MAX)
        return "iterations are 4096 to 16384";
    if (!get_bytes(salt, 1, SASL_SALT_MAX, ret->salt, &salt_size))
        return "the salt is base64 of 1 to 64 bytes";
    if (!get_bytes(stored, size, size, ret->stored, &key_size) || !get_bytes(text, size, size, ret->server, &key_size))
        return "stored and server keys are base64, as long as the hash";
    ret->iterations = (uint32_t)n;
    ret->salt_size = (uint8_t)salt_size;
    return NULL;
}

/* What a line says. Without `put` it is only looked at. NULL, or what is wrong ("": the error says). */
static const char *
read_line(struct sasl_users *users, cairn_str line, unsigned mechanisms, bool put, cairn_error *error)
{
    cairn_str name, rest = line, word, after;
    enum sasl_mechanism mechanism;
    struct sasl_credential credential;
    if (!sasl_cut(&rest, ':', &name) || !sasl_name_valid(name))
        return "expected name:password, or name:mechanism:iterations:salt:stored:server";
    after = rest;
    if (sasl_cut(&after, ':', &word) && sasl_find(word, &mechanism)) {
        if (mechanism != SASL_SCRAM_SHA_256 && mechanism != SASL_SCRAM_SHA_512)
            return "only SCRAM-SHA-256 and SCRAM-SHA-512 have keys";
        const char *wrong = read_credential(mechanism, after, &credential);
        if (wrong || !put)
            return wrong;
        return sasl_users_put(users, name, mechanism, &credential, true, error) == CAIRN_OK ? NULL : "";
    }
    if (rest.size == 0 || rest.size > SASL_PASSWORD_MAX || !utf8_valid(rest))
        return "a password is 1 to 1024 bytes of UTF-8";
    for (mechanism = SASL_SCRAM_SHA_256; put && mechanism <= SASL_SCRAM_SHA_512; mechanism++) {
        uint8_t salt[SALT_BYTES];
        bool needed = mechanisms & SASL_BIT(mechanism) || (mechanism == SASL_SCRAM_SHA_256 && mechanisms & SASL_BIT(SASL_PLAIN));
        if (!needed)
            continue;
        salt_for(users, name, mechanism, salt);
        if (!sasl_derive(mechanism, rest, (cairn_str){(const char *)salt, sizeof salt}, SASL_ITERATIONS, &credential)) {
            error_set(error, CAIRN_E_NOMEM, "out of memory");
            return "";
        }
        if (sasl_users_put(users, name, mechanism, &credential, true, error) != CAIRN_OK)
            return "";
    }
    return NULL;
}

cairn_err
sasl_users_load(struct sasl_users *users, cairn_str text, unsigned mechanisms, cairn_error *error)
{
    for (int put = 0; put < 2; put++) {
        cairn_str rest = text, line;
        for (unsigned number = 1; rest.size > 0; number++) {
            cairn_error why = {0};
            sasl_cut(&rest, '\n', &line);
            if (line.size > 0 && line.data[line.size - 1] == '\r')
                line.size--;
            if (line.size == 0 || line.data[0] == '#')
                continue;
            const char *wrong = read_line(users, line, mechanisms, put, &why);
            if (wrong)
                return error_set(error, wrong[0] ? CAIRN_E_INVALID : why.code, "line %u: %s", number,
                                 wrong[0] ? wrong : why.detail);
        }
    }
    return CAIRN_OK;
}
