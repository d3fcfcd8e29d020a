CREATE TYPE order_stage AS ENUM ('open', 'closed', 'cancelled');

COMMENT ON TYPE order_stage IS 'What a status means to the customer: still to come, done, or off';
