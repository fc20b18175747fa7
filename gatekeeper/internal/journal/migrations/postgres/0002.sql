-- What tells which of two pushes of a tag is the newer one: the registry's
-- clock, and then their numbers. 0: the registry says no time.
ALTER TABLE pushes ADD COLUMN order_at bigint NOT NULL DEFAULT 0;
DROP INDEX pushes_tag;
CREATE INDEX pushes_tag ON pushes (source, repository, tag, order_at, id);
