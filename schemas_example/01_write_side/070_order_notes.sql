-- The oldest table: it came from a tool for one shop, so it knows no tenant,
-- and nothing ties a note to an order that exists. 100 to 120 put that right.
CREATE TABLE w_order_notes (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    order_id    bigint      NOT NULL,
    author      text        NOT NULL,
    body        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT w_order_notes_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE w_order_notes IS 'What the staff wrote down about an order';
COMMENT ON COLUMN w_order_notes.author IS 'First name, as on the badge';
