-- A bundle opens every entry of the root log under its label, in the order in which they stand there.
CREATE INDEX sealed_head_order ON sealed_head (tree, leaf_index);
