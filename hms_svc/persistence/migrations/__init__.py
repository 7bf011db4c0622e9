"""Alembic's folder: how each version of the schema becomes the next.

A fleet is never stopped for a migration. `hms-svc db migrate` of the new program runs first, once;
then the processes are replaced one after the other, and old and new ones work side by side. So:

1. *Expand.* A revision only adds: tables, indexes, columns that may be NULL or have a default of the
   server's. Old programs neither read nor write what they do not know. `schema_info.oldest_program`
   stays, and old programs start on the newer schema.
2. The next program writes the new shape, and reads both.
3. *Contract.* A later revision, shipped when no program that needs the old shape runs any more, takes
   it away, and sets `schema_info.oldest_program` to the first program that can do without. Older ones
   are refused at their start from then on.

Expanding and contracting are never one revision. Renaming is adding, copying, and removing two
releases later. All missing revisions run in one transaction, under a lock that makes `migrate` of a
whole fleet happen once; a revision takes its locks for seconds only (an index on a large table is
built by hand, CONCURRENTLY, before the revision that would have built it, with IF NOT EXISTS there).
"""
