CREATE TABLE w_shipments (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id      bigint      NOT NULL,
    -- Migration 005 renamed the column. PostgreSQL 18 names NOT NULL constraints, and
    -- a renamed column keeps the name.
    order_id       bigint      CONSTRAINT w_shipments_order_ref_not_null NOT NULL,
    carrier        text        NOT NULL,
    tracking_code  text        NOT NULL,
    shipped_at     timestamptz NOT NULL DEFAULT now(),
    delivered_at   timestamptz,
    CONSTRAINT w_shipments_pkey PRIMARY KEY (id),
    CONSTRAINT w_shipments_dates_check CHECK (delivered_at >= shipped_at)
);

COMMENT ON TABLE w_shipments IS 'Parcels; a big order leaves in more than one';
COMMENT ON COLUMN w_shipments.tenant_id IS 'The shop that ships';
COMMENT ON COLUMN w_shipments.order_id IS 'The order that the parcel belongs to';
COMMENT ON COLUMN w_shipments.delivered_at IS 'Empty while the parcel is on its way';
