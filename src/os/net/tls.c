/* TLS by OpenSSL over memory: a BIO of our own reads from the bytes that have just arrived and appends to the
 * session's cipher buffer, so OpenSSL never touches the socket and an idle session holds no buffer.
 *
 * Settings: TLS 1.2 and 1.3; for 1.2 only ECDHE with AEAD (RFC 9113 §9.2.2 forbids the rest for HTTP/2);
 * no renegotiation; ALPN h2, then http/1.1, and no ALPN means HTTP/1.1. */
#include <os/net/net_int.h>

#include <base/error.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#define CIPHER_MAX ((size_t)262144) /* encrypted ahead of the socket */
#define RECORD_MAX ((size_t)16384)

struct net_tls {
    SSL_CTX *context;
    BIO_METHOD *method;
};

struct net_session {
    SSL *ssl;
    struct net_loop *loop;
    cairn_str in;          /* arrived and not yet taken by OpenSSL; only during net_session_read */
    struct net_buf cipher; /* to be sent */
    bool ready, h2, ended, goodbye;
};

/* ---- the BIO --------------------------------------------------------------------------------- */

static int
bio_read(BIO *bio, char *to, int size)
{
    struct net_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->in.size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t take = session->in.size < (size_t)size ? session->in.size : (size_t)size;
    memcpy(to, session->in.data, take);
    session->in.data += take;
    session->in.size -= take;
    return (int)take;
}

static int
bio_write(BIO *bio, const char *from, int size)
{
    struct net_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0 || !net_buf_reserve(session->loop, &session->cipher, (size_t)size))
        return -1;
    memcpy(session->cipher.data + session->cipher.end, from, (size_t)size);
    session->cipher.end += (size_t)size;
    return size;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* ---- the context ----------------------------------------------------------------------------- */

static int
choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_size, const unsigned char *offered,
                unsigned offered_size, void *context)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)context;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, ret_size, ours, sizeof ours - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static cairn_err
tls_error(cairn_error *error, const char *what, const char *file)
{
    char reason[160];
    unsigned long code = ERR_get_error();
    ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return error_set(error, CAIRN_E_INVALID, "%s %s: %s", what, file, code ? reason : "unknown reason");
}

static cairn_err
load_files(SSL_CTX *context, const char *cert_file, const char *key_file, const char *client_ca_file,
           cairn_error *error)
{
    if (SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
        return tls_error(error, "cannot use the certificate file", cert_file);
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1)
        return tls_error(error, "cannot use the key file", key_file);
    if (SSL_CTX_check_private_key(context) != 1)
        return tls_error(error, "the key does not belong to the certificate", cert_file);
    if (!client_ca_file)
        return CAIRN_OK;
    if (SSL_CTX_load_verify_locations(context, client_ca_file, NULL) != 1)
        return tls_error(error, "cannot use the client authority file", client_ca_file);
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(client_ca_file));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return CAIRN_OK;
}

cairn_err
net_tls_new(const char *cert_file, const char *key_file, const char *client_ca_file, struct net_tls **ret,
            cairn_error *error)
{
    struct net_tls *tls = calloc(1, sizeof *tls);
    if (tls) {
        tls->context = SSL_CTX_new(TLS_server_method());
        tls->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cairn");
    }
    if (!tls || !tls->context || !tls->method) {
        net_tls_free(tls);
        return error_set(error, CAIRN_E_NOMEM, "no memory for TLS");
    }
    BIO_meth_set_read(tls->method, bio_read);
    BIO_meth_set_write(tls->method, bio_write);
    BIO_meth_set_ctrl(tls->method, bio_ctrl);
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(tls->context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_id_context(tls->context, (const unsigned char *)"cairn", 5);
    SSL_CTX_set_alpn_select_cb(tls->context, choose_protocol, NULL);
    cairn_err err = load_files(tls->context, cert_file, key_file, client_ca_file, error);
    if (err != CAIRN_OK) {
        net_tls_free(tls);
        return err;
    }
    *ret = tls;
    return CAIRN_OK;
}

void
net_tls_free(struct net_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    free(tls);
}

/* ---- a session ------------------------------------------------------------------------------- */

struct net_session *
net_session_new(struct net_tls *tls)
{
    struct net_session *session = calloc(1, sizeof *session);
    BIO *bio = session ? BIO_new(tls->method) : NULL;
    SSL *ssl = bio ? SSL_new(tls->context) : NULL;
    if (!ssl) {
        BIO_free(bio);
        free(session);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    session->ssl = ssl;
    return session;
}

void
net_session_free(struct net_loop *loop, struct net_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl);
    net_buf_release(loop, &session->cipher);
    free(session);
}

/* Remember why it ends. False. */
static bool
end_by_fault(struct net_conn *conn)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    conn->fault = reason ? reason : "a fault of TLS";
    return false;
}

/* Go on with the handshake. False when it has failed. */
static bool
shake_hands(struct net_session *session)
{
    ERR_clear_error();
    int done = SSL_do_handshake(session->ssl);
    if (done != 1)
        return SSL_get_error(session->ssl, done) == SSL_ERROR_WANT_READ;
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(session->ssl, &name, &size);
    session->h2 = size == 2 && memcmp(name, "h2", 2) == 0;
    session->ready = true;
    return true;
}

bool
net_session_read(struct net_conn *conn, cairn_str cipher)
{
    struct net_session *session = conn->session;
    session->loop = conn->loop;
    session->in = cipher;
    net_loop_mark(conn); /* handshakes, tickets and key updates answer by themselves */
    if (!session->ready && !shake_hands(session))
        return end_by_fault(conn);
    while (session->ready && !conn->closing) {
        ERR_clear_error();
        int size = SSL_read(session->ssl, conn->loop->plain_buf, NET_READ_SIZE);
        if (size > 0) {
            net_conn_deliver(conn, (cairn_str){conn->loop->plain_buf, (size_t)size});
            continue;
        }
        int why = SSL_get_error(session->ssl, size);
        if (why == SSL_ERROR_ZERO_RETURN && !session->ended) {
            session->ended = true;
            net_conn_deliver_eof(conn);
        }
        session->in = (cairn_str){NULL, 0};
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_ZERO_RETURN || end_by_fault(conn);
    }
    session->in = (cairn_str){NULL, 0};
    return true;
}

bool
net_session_encrypt(struct net_conn *conn)
{
    struct net_session *session = conn->session;
    session->loop = conn->loop;
    while (net_buf_size(&conn->out) > 0 && net_buf_size(&session->cipher) < CIPHER_MAX) {
        if (!session->ready)
            return true; /* nobody puts before the handshake is over, but a refusal may */
        size_t size = net_buf_size(&conn->out);
        ERR_clear_error();
        int taken = SSL_write(session->ssl, conn->out.data + conn->out.start,
                              (int)(size < RECORD_MAX ? size : RECORD_MAX));
        if (taken <= 0)
            return false;
        conn->out.start += (size_t)taken;
    }
    if (net_buf_size(&conn->out) == 0)
        net_buf_release(conn->loop, &conn->out);
    return true;
}

void
net_session_goodbye(struct net_conn *conn)
{
    struct net_session *session = conn->session;
    session->loop = conn->loop;
    if (!session->ready || session->goodbye)
        return;
    session->goodbye = true;
    ERR_clear_error();
    SSL_shutdown(session->ssl);
}

struct net_buf *
net_session_cipher(struct net_session *session)
{
    return &session->cipher;
}

bool
net_session_is_h2(const struct net_session *session)
{
    return session->h2;
}
