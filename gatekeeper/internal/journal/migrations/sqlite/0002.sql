-- What a push was judged by: the policies in force and their trust roots.
ALTER TABLE pushes ADD COLUMN judged_by TEXT NOT NULL DEFAULT '';
-- How often there was another reason than evidence to judge it again.
ALTER TABLE pushes ADD COLUMN rechecks INTEGER NOT NULL DEFAULT 0;
-- How deep the queue of a repository is.
CREATE INDEX pushes_queued ON pushes (source, repository) WHERE state = 'queued';
-- What has to exist for /readyz to write to.
CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL);
INSERT INTO probe (id, at) VALUES (1, 0);
-- What retention looks things up by.
CREATE INDEX decisions_evidence ON decisions (evidence);
CREATE INDEX golden_push ON golden (push_id);
