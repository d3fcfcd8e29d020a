CREATE TABLE w_customers (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id   bigint      NOT NULL,
    name        text        NOT NULL,
    email       text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT w_customers_pkey PRIMARY KEY (id),
    -- Other tables reference this key. It includes the tenant, so a row cannot
    -- reference another tenant's customer.
    CONSTRAINT w_customers_tenant_id_id_key UNIQUE (tenant_id, id),
    -- One account per email address and shop.
    CONSTRAINT w_customers_tenant_id_email_key UNIQUE (tenant_id, email)
);

COMMENT ON TABLE w_customers IS 'People and firms that order at a print shop';
COMMENT ON COLUMN w_customers.tenant_id IS 'The shop; a person who orders at two shops is two customers';
COMMENT ON COLUMN w_customers.email IS 'Where the receipts go; unique within a shop';
