-- Returns the UTC month of a timestamp. date_trunc() alone uses the session's time
-- zone, so two connections could get different months for the same order.
CREATE FUNCTION month_of(moment timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_trunc('month', moment AT TIME ZONE 'UTC')::date;

COMMENT ON FUNCTION month_of(timestamptz) IS 'First day of the month, UTC';
