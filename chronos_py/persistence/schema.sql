-- The job store of one node, version 1 (PRAGMA user_version). sqlite.py says how older files become this one.
-- `value` is JSON, by codec.py. What is not looked up by the database has no column of its own.

CREATE TABLE epoch (number INTEGER NOT NULL); -- one row: the leader whose commits count

CREATE TABLE jobs (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE states (job TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE runs (run INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL); -- those that have not ended

CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE outbox (number INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL); -- not known to be in history yet

-- Records that could not be read and would have been overwritten or deleted: their bytes, and what was wrong.
CREATE TABLE quarantine (
    id INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    key NOT NULL,
    value,
    reason TEXT NOT NULL
);

INSERT INTO epoch (number) VALUES (0);
