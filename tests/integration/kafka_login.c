/* Logging in over the wire: what may be asked before, by which mechanisms, who is refused, how long it lasts; users that are made
 * and deleted by AlterUserScramCredentials. The mechanisms' own messages: tests/unit/kafka_sasl.c. */
#include "kafka_rig.h"

#include <base/text.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static struct kafka_rig rig;
static char users_path[96], keys_path[96];
static struct kafka_sasl_options options = {.mechanisms = "PLAIN,SCRAM-SHA-256,OAUTHBEARER",
                                            .users_file = users_path,
                                            .keys_file = keys_path};

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK_INT(fclose(file), 0);
}

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_line[512]; /* the newest */

static void
note_line(void *context, const char *line)
{
    (void)context;
    pthread_mutex_lock(&log_lock);
    snprintf(log_line, sizeof log_line, "%s", line);
    pthread_mutex_unlock(&log_lock);
}

static bool
was_told(const char *what)
{
    pthread_mutex_lock(&log_lock);
    bool was = strstr(log_line, what) != NULL;
    pthread_mutex_unlock(&log_lock);
    return was;
}

static int
setup(void **state)
{
    (void)state;
    rig = (struct kafka_rig){.port = 0};
    test_folder(rig.folder);
    snprintf(users_path, sizeof users_path, "%s/users", rig.folder);
    snprintf(keys_path, sizeof keys_path, "%s/keys", rig.folder);
    write_file(users_path, "# users\nann:secret\neve:other\n");
    write_file(keys_path, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\"}]}");
    kafka_rig_start(&rig, (struct kafka_config){.loops = 2, .log = note_line}, &options);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    kafka_rig_close(&rig);
    return 0;
}

static int
handshake(struct kafka_client *client, const char *mechanism)
{
    struct kafka_sasl_handshake_request in = {cairn_cstr(mechanism)};
    const struct kafka_sasl_handshake_response *out = CLIENT_CALL(client, SASL_HANDSHAKE, sasl_handshake, 1, &in);
    CHECK_INT(out->mechanisms_count, 3);
    CHECK(cairn_str_equal(out->mechanisms[0], CAIRN_STR("PLAIN")));
    return out->error_code;
}

static const struct kafka_sasl_authenticate_response *
authenticate(struct kafka_client *client, cairn_str bytes)
{
    struct kafka_sasl_authenticate_request in = {bytes};
    return CLIENT_CALL(client, SASL_AUTHENTICATE, sasl_authenticate, 2, &in);
}

static const struct kafka_sasl_authenticate_response *
plain(struct kafka_client *client, const char *name, const char *password)
{
    char message[256];
    int size = snprintf(message, sizeof message, "%c%s%c%s", 0, name, 0, password);
    CHECK_INT(handshake(client, "PLAIN"), KAFKA_NONE);
    return authenticate(client, (cairn_str){message, (size_t)size});
}

static int
ask(struct kafka_client *client)
{
    struct kafka_describe_cluster_request in = {.endpoint_type = 1};
    return CLIENT_CALL(client, DESCRIBE_CLUSTER, describe_cluster, 0, &in)->controller_id;
}

/* The server closes the connection instead of an answer. */
static bool
is_refused(struct kafka_client *client)
{
    struct kafka_describe_cluster_request in = {.endpoint_type = 1};
    kafka_client_send(client, KAFKA_API_DESCRIBE_CLUSTER, 0, &in);
    return kafka_client_is_closed(client);
}

static int
can_log_in(const char *name, const char *password)
{
    struct kafka_client client = kafka_client_open(rig.port);
    int err = plain(&client, name, password)->error_code;
    if (err == KAFKA_NONE)
        CHECK_INT(ask(&client), 1);
    kafka_client_close(&client);
    return err;
}

/* Goal: without a login there are versions and the login, and nothing else. */
TEST(nothing_before_login)
{
    struct kafka_client client = kafka_client_open(rig.port);
    struct kafka_api_versions_request versions = {CAIRN_STR("test"), CAIRN_STR("1")};
    CHECK_INT(CLIENT_CALL(&client, API_VERSIONS, api_versions, 3, &versions)->error_code, KAFKA_NONE);
    CHECK_INT(authenticate(&client, CAIRN_STR("x"))->error_code, KAFKA_ILLEGAL_SASL_STATE);
    CHECK_INT(handshake(&client, "GSSAPI"), KAFKA_UNSUPPORTED_SASL_MECHANISM);
    CHECK_INT(handshake(&client, "SCRAM-SHA-512"), KAFKA_UNSUPPORTED_SASL_MECHANISM); /* known, but not offered */
    CHECK(is_refused(&client));
    kafka_client_close(&client);
}

TEST(right_and_wrong)
{
    struct kafka_client client = kafka_client_open(rig.port);
    CHECK_INT(can_log_in("ann", "secret"), KAFKA_NONE);
    CHECK_INT(can_log_in("ann", "other"), KAFKA_SASL_AUTHENTICATION_FAILED);
    CHECK_INT(can_log_in("nobody", "secret"), KAFKA_SASL_AUTHENTICATION_FAILED);
    const struct kafka_sasl_authenticate_response *out = plain(&client, "ann", "wrong");
    CHECK_INT(out->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
    CHECK(out->error_message.size > 0);
    CHECK(kafka_client_is_closed(&client)); /* without being asked anything: no second guess */
    kafka_client_close(&client);
    CHECK(was_told("a login by PLAIN as ann is refused: Authentication failed: unknown user or wrong password."));
    struct kafka_server_stats stats;
    kafka_server_stats(rig.server, &stats);
    CHECK_INT(stats.denied_total, 3);

    /* Again on the same connection, as oneself and as somebody else. */
    client = kafka_client_open(rig.port);
    CHECK_INT(plain(&client, "ann", "secret")->error_code, KAFKA_NONE);
    CHECK_INT(ask(&client), 1);
    CHECK_INT(plain(&client, "ann", "secret")->error_code, KAFKA_NONE);
    CHECK_INT(ask(&client), 1);
    CHECK_INT(plain(&client, "eve", "other")->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
    CHECK(kafka_client_is_closed(&client));
    kafka_client_close(&client);
}

/* ---- tokens ------------------------------------------------------------------------------------------------------------------ */

/* The client's message with a token that expires so many seconds from now. */
static void
bearer(int expires_s, char to[1024])
{
    char claims[128];
    struct buf text = {0}, mac64 = {0};
    uint8_t mac[32];
    unsigned size;
    snprintf(claims, sizeof claims, "{\"sub\":\"ann\",\"exp\":%lld}", (long long)time(NULL) + expires_s);
    base64_put(&text, CAIRN_STR("{\"alg\":\"HS256\"}"));
    while (text.data[text.size - 1] == '=')
        text.size--;
    buf_put_char(&text, '.');
    base64_put(&text, cairn_cstr(claims));
    while (text.data[text.size - 1] == '=')
        text.size--;
    HMAC(EVP_sha256(), "01234567890123456789012345678901", 32, (const uint8_t *)text.data, text.size, mac, &size);
    base64_put(&mac64, (cairn_str){(const char *)mac, 32});
    snprintf(to, 1024, "n,,\1auth=Bearer %.*s.%.*s\1\1", (int)text.size, text.data, (int)mac64.size, mac64.data);
    buf_free(&text);
    buf_free(&mac64);
}

TEST(tokens)
{
    struct kafka_client client = kafka_client_open(rig.port);
    char message[1024];
    bearer(100, message);
    CHECK_INT(handshake(&client, "OAUTHBEARER"), KAFKA_NONE);
    const struct kafka_sasl_authenticate_response *out = authenticate(&client, cairn_cstr(message));
    CHECK_INT(out->error_code, KAFKA_NONE);
    CHECK(out->session_lifetime_ms > 90000 && out->session_lifetime_ms <= 100000);
    CHECK_INT(ask(&client), 1);
    kafka_client_close(&client);

    client = kafka_client_open(rig.port);
    bearer(-100, message);
    CHECK_INT(handshake(&client, "OAUTHBEARER"), KAFKA_NONE);
    out = authenticate(&client, cairn_cstr(message));
    CHECK_INT(out->error_code, KAFKA_NONE); /* RFC 7628: first it is told why */
    CHECK(cairn_str_equal(out->auth_bytes, CAIRN_STR("{\"status\":\"invalid_token\"}")));
    CHECK_INT(authenticate(&client, CAIRN_STR("\1"))->error_code, KAFKA_SASL_AUTHENTICATION_FAILED);
    CHECK(is_refused(&client));
    kafka_client_close(&client);
}

/* ---- users of the store -------------------------------------------------------------------------------------------------------- */

static struct kafka_client
as_ann(void)
{
    struct kafka_client client = kafka_client_open(rig.port);
    CHECK_INT(plain(&client, "ann", "secret")->error_code, KAFKA_NONE);
    return client;
}

static int
upsert(const char *name, const char *password, int iterations)
{
    struct kafka_client client = as_ann();
    uint8_t salted[32];
    CHECK(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const uint8_t *)"salt", 4, iterations, EVP_sha256(), 32, salted));
    struct kafka_alter_user_scram_credentials_request_upsertion one = {
        cairn_cstr(name), 1, iterations, CAIRN_STR("salt"), {(const char *)salted, 32}};
    struct kafka_alter_user_scram_credentials_request in = {.upsertions = &one, .upsertions_count = 1};
    int err = CLIENT_CALL(&client, ALTER_USER_SCRAM_CREDENTIALS, alter_user_scram_credentials, 0, &in)->results[0].error_code;
    kafka_client_close(&client);
    return err;
}

static int
delete_user(const char *name)
{
    struct kafka_client client = as_ann();
    struct kafka_alter_user_scram_credentials_request_deletion one = {cairn_cstr(name), 1};
    struct kafka_alter_user_scram_credentials_request in = {.deletions = &one, .deletions_count = 1};
    int err = CLIENT_CALL(&client, ALTER_USER_SCRAM_CREDENTIALS, alter_user_scram_credentials, 0, &in)->results[0].error_code;
    kafka_client_close(&client);
    return err;
}

static int
iterations_of(const char *name, int *ret_err)
{
    struct kafka_client client = as_ann();
    struct kafka_describe_user_scram_credentials_request_user user = {cairn_cstr(name)};
    struct kafka_describe_user_scram_credentials_request in = {.users = &user, .users_count = 1};
    const struct kafka_describe_user_scram_credentials_response *out =
        CLIENT_CALL(&client, DESCRIBE_USER_SCRAM_CREDENTIALS, describe_user_scram_credentials, 0, &in);
    *ret_err = out->results[0].error_code;
    int iterations = out->results[0].credential_infos_count ? out->results[0].credential_infos[0].iterations : 0;
    kafka_client_close(&client);
    return iterations;
}

/* Goal: users that are made over the wire can log in, also after a restart, until they are deleted, also after a restart. */
TEST(users_of_the_store)
{
    int err;
    CHECK_INT(upsert("bob", "pencil", 4096), KAFKA_NONE);
    CHECK_INT(upsert("bob", "pen", 8192), KAFKA_NONE); /* another password */
    CHECK_INT(upsert("carl", "pencil", 4095), KAFKA_UNACCEPTABLE_CREDENTIAL);
    CHECK_INT(upsert("ann", "pencil", 4096), KAFKA_UNACCEPTABLE_CREDENTIAL); /* the file's */
    CHECK_INT(upsert("dan\x01", "pencil", 4096), KAFKA_UNACCEPTABLE_CREDENTIAL); /* no name; and the server starts again */
    CHECK_INT(upsert("dan\xff", "pencil", 4096), KAFKA_UNACCEPTABLE_CREDENTIAL);
    /* Were such a name in the store after all, it would keep nobody else out. */
    cairn_event event = {.type = CAIRN_STR("CredentialsChanged"), .data = CAIRN_STR("{\"user\":\"dan\\u0001\",\"mechanisms\":{}}")};
    cairn_write write = {CAIRN_STR("$credentials-dan"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1, .system = true};
    cairn_at at;
    CHECK_OK(cairn_append_all(rig.store, &request, &at, NULL));
    for (int restarted = 0; restarted < 2; restarted++) {
        CHECK_INT(can_log_in("bob", "pen"), KAFKA_NONE);
        CHECK_INT(can_log_in("bob", "pencil"), KAFKA_SASL_AUTHENTICATION_FAILED);
        CHECK_INT(iterations_of("bob", &err), 8192);
        CHECK_INT(err, KAFKA_NONE);
        iterations_of("carl", &err);
        CHECK_INT(err, KAFKA_RESOURCE_NOT_FOUND);
        kafka_rig_stop(&rig);
        kafka_rig_start(&rig, (struct kafka_config){.loops = 2}, &options);
    }
    CHECK_INT(delete_user("nobody"), KAFKA_RESOURCE_NOT_FOUND);
    CHECK_INT(delete_user("bob"), KAFKA_NONE);
    for (int restarted = 0; restarted < 2; restarted++) {
        CHECK_INT(can_log_in("bob", "pen"), KAFKA_SASL_AUTHENTICATION_FAILED);
        kafka_rig_stop(&rig);
        kafka_rig_start(&rig, (struct kafka_config){.loops = 2}, &options);
    }
}

/* ---- how long -------------------------------------------------------------------------------------------------------------------- */

/* Goal: a login ends by itself; logging in again prolongs it. */
TEST(sessions_end)
{
    kafka_rig_stop(&rig);
    options.session_max_ms = 400;
    kafka_rig_start(&rig, (struct kafka_config){.loops = 2}, &options);
    struct kafka_client client = kafka_client_open(rig.port);
    int64_t begun = client_now_ms();
    for (int i = 0; client_now_ms() - begun < 700; i++) { /* longer than one session */
        const struct kafka_sasl_authenticate_response *out = plain(&client, "ann", "secret");
        CHECK_INT(out->error_code, KAFKA_NONE);
        CHECK_INT(out->session_lifetime_ms, 400);
        CHECK_INT(ask(&client), 1);
    }
    struct kafka_describe_cluster_request in = {.endpoint_type = 1};
    begun = client_now_ms();
    do
        kafka_client_send(&client, KAFKA_API_DESCRIBE_CLUSTER, 0, &in);
    while (kafka_client_take(&client) && client_now_ms() - begun < 5000);
    CHECK(client_now_ms() - begun >= 300 && client_now_ms() - begun < 5000);
    kafka_client_close(&client);
    options.session_max_ms = 0;
}

/* Goal: what is wrong with the files is said with the file's name. */
TEST(bad_files)
{
    cairn_error error = {0};
    struct kafka_sasl *sasl;
    struct kafka_sasl_options bad = {.mechanisms = "PLAIN,KERBEROS"};
    CHECK_INT(kafka_sasl_new(rig.store, 0, &bad, &sasl, &error), CAIRN_E_INVALID);
    bad = (struct kafka_sasl_options){.mechanisms = "PLAIN", .users_file = "/nowhere/users"};
    CHECK_INT(kafka_sasl_new(rig.store, 0, &bad, &sasl, &error), CAIRN_E_NOTFOUND);
    CHECK(strstr(error.detail, "/nowhere/users") != NULL);
    bad.users_file = users_path;
    write_file(users_path, "ann:secret\nbob\n");
    CHECK_INT(kafka_sasl_new(rig.store, 0, &bad, &sasl, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "line 2") != NULL && strstr(error.detail, users_path) != NULL);
    bad = (struct kafka_sasl_options){.mechanisms = "OAUTHBEARER"};
    CHECK_INT(kafka_sasl_new(rig.store, 0, &bad, &sasl, &error), CAIRN_E_INVALID);
    bad.keys_file = users_path;
    CHECK_INT(kafka_sasl_new(rig.store, 0, &bad, &sasl, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, users_path) != NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(nothing_before_login), RUN(right_and_wrong), RUN(tokens), RUN(users_of_the_store), RUN(sessions_end), RUN(bad_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
