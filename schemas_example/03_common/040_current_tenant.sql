-- The application sets app.tenant_id when it takes a connection. If it is not set,
-- this is NULL, which equals nothing: a forgotten setting never shows all rows.
CREATE FUNCTION current_tenant() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.tenant_id', true), '')::bigint;

COMMENT ON FUNCTION current_tenant() IS 'The tenant that this connection works for, from the setting app.tenant_id';
