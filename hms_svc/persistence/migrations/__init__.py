"""The migrations of the schema, run by Alembic.

A fleet is not stopped for a migration. `hms-svc db migrate` of the new program runs first, once;
then the processes are replaced one by one, and old and new ones run at the same time. Therefore:

1. *Expand.* A revision only adds tables, indexes, and columns that may be NULL or have a server
default. Old programs neither read nor write what they do not know. `schema_info.oldest_program`
stays, and old programs start on the newer schema.
2. The next program writes the new form, and reads both.
3. *Contract.* A later revision, shipped when no program that needs the old form runs any more,
removes it and sets `schema_info.oldest_program` to the first program that does not need it. Older
programs are then refused at their start.

A revision never both expands and contracts. To rename is to add, to copy, and to remove two
releases later. All missing revisions run in one transaction, under a lock, so that concurrent
`migrate` commands of a fleet run once. A revision holds its locks only for seconds: build an index
on a large table by hand, CONCURRENTLY, before the revision that would build it, and use IF NOT
EXISTS there.
"""
