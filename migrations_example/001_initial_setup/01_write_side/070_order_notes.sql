-- The oldest table comes from a tool for a single shop, so it has no tenant column
-- and no foreign key to w_orders. The files 100 to 120 add both.
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
