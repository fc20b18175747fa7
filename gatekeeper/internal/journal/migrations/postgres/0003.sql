-- Since when a push has failed in a row; 0: it has not.
ALTER TABLE pushes ADD COLUMN failing_since bigint NOT NULL DEFAULT 0;
-- What is known about an image is asked without a source.
CREATE INDEX pushes_image ON pushes (repository, tag, order_at, id);
CREATE INDEX pushes_image_digest ON pushes (repository, digest, order_at, id);
-- What the newest judgement of a golden image says. Without this index, a
-- server that has no statistics yet reads all decisions for each.
CREATE INDEX decisions_judged ON decisions (digest, source, repository, id) WHERE verdict IN ('promoted', 'rejected');
