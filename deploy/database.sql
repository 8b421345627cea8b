-- Run once by the PostgreSQL image, as its superuser, when the cluster is new. The service is not a superuser: it owns
-- its own database and nothing else.
\set ON_ERROR_STOP on
\set password `cat /run/secrets/database_password`
CREATE ROLE keyledger LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 90;
CREATE DATABASE keyledger OWNER keyledger;
REVOKE ALL ON DATABASE keyledger FROM PUBLIC;
