-- Times are microseconds since 1970. JSON columns hold what is never searched.

CREATE TABLE policy_text (
    version TEXT PRIMARY KEY,
    text    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A log: the last row is the policy in force.
CREATE TABLE policy_publication (
    revision INTEGER PRIMARY KEY,
    version  TEXT    NOT NULL REFERENCES policy_text (version),
    issuer   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    comment  TEXT    NOT NULL
) STRICT;
CREATE INDEX policy_publication_version ON policy_publication (version, revision);

CREATE TABLE approval (
    id      TEXT    PRIMARY KEY,
    key     TEXT    NOT NULL,
    -- pending, approved, denied, used. Expiry is a matter of time, not of a row.
    state   TEXT    NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'used')),
    issuer  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    request TEXT    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used_by TEXT,
    CHECK ((state = 'used') = (used_by IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_key ON approval (key, state);
CREATE INDEX approval_state ON approval (state, id);
CREATE INDEX approval_requester ON approval (subject, issuer, state);

CREATE TABLE approval_decision (
    approval TEXT    NOT NULL REFERENCES approval (id),
    issuer   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    answer   TEXT    NOT NULL CHECK (answer IN ('approve', 'deny')),
    reason   TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (approval, issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
    id       INTEGER PRIMARY KEY,
    exchange TEXT    NOT NULL UNIQUE,
    session  TEXT    NOT NULL,
    issuer   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    upstream TEXT    NOT NULL,
    protocol TEXT    NOT NULL,
    verdict  TEXT    NOT NULL,
    outcome  TEXT    NOT NULL,
    started  INTEGER NOT NULL,
    ended    INTEGER NOT NULL,
    entry    TEXT    NOT NULL
) STRICT;
CREATE INDEX entry_started ON entry (started, exchange);
CREATE INDEX entry_session ON entry (session, started);
CREATE INDEX entry_subject ON entry (subject, started);
CREATE INDEX entry_upstream ON entry (upstream, started);
CREATE INDEX entry_verdict ON entry (verdict, started);

CREATE TABLE entry_access (
    entry    INTEGER NOT NULL REFERENCES entry (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    action   TEXT    NOT NULL,
    resource TEXT    NOT NULL,
    PRIMARY KEY (entry, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_access_resource ON entry_access (resource, entry);

CREATE TABLE entry_attribute (
    entry    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    value    TEXT    NOT NULL,
    PRIMARY KEY (entry, position, name, value),
    FOREIGN KEY (entry, position) REFERENCES entry_access (entry, position) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_attribute_value ON entry_attribute (value, name, entry, position);

-- The words of an entry, by its id; without a copy of the text.
CREATE VIRTUAL TABLE entry_text USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'unicode61');

CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    issuer  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;
