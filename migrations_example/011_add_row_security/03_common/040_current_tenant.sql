-- The application sets app.tenant_id when it acquires a connection. If the setting
-- is missing, the function returns NULL, which equals nothing. A missing setting
-- therefore never exposes all rows.
CREATE FUNCTION current_tenant() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.tenant_id', true), '')::bigint;

COMMENT ON FUNCTION current_tenant() IS 'The tenant that this connection works for, from the setting app.tenant_id';
