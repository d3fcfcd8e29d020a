-- The month of an instant in UTC. date_trunc() alone follows the session's time
-- zone: the same order would fall into another month for another connection.
CREATE FUNCTION month_of(moment timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_trunc('month', moment AT TIME ZONE 'UTC')::date;

COMMENT ON FUNCTION month_of(timestamptz) IS 'First day of the month, UTC';
