-- Who reports a push waits for every index, so that one serves both who asks
-- with a source and who asks without.
DROP INDEX pushes_tag;
DROP INDEX pushes_image;
CREATE INDEX pushes_tag ON pushes (repository, tag, source, order_at, id);
DROP INDEX pushes_digest;
DROP INDEX pushes_image_digest;
CREATE INDEX pushes_digest ON pushes (repository, digest, source, order_at, id);
DROP INDEX pushes_open;
DROP INDEX pushes_queued;
CREATE INDEX pushes_open ON pushes (state, source, repository) WHERE state IN ('queued', 'judging', 'retrying', 'pending');
