CREATE TABLE w_order_notes (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    order_id    bigint      NOT NULL,
    author      text        NOT NULL,
    body        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    tenant_id   bigint      NOT NULL,
    CONSTRAINT w_order_notes_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE w_order_notes IS 'What the staff wrote down about an order';
COMMENT ON COLUMN w_order_notes.author IS 'First name, as on the badge';
COMMENT ON COLUMN w_order_notes.tenant_id IS 'The shop of the order that the note is about';
