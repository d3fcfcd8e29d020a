-- A tenant is one print shop. The key of this table is also called tenant_id, so
-- every tenant table can be filtered by the same column.
CREATE TABLE w_tenants (
    tenant_id   bigint GENERATED ALWAYS AS IDENTITY,
    slug        text        NOT NULL,
    name        text        NOT NULL,
    plan        text        NOT NULL DEFAULT 'basic',
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT w_tenants_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT w_tenants_slug_key UNIQUE (slug),
    CONSTRAINT w_tenants_plan_check CHECK (plan IN ('basic', 'plus', 'enterprise'))
);

COMMENT ON TABLE w_tenants IS 'Print shops that use the service';
COMMENT ON COLUMN w_tenants.tenant_id IS 'The tenant itself; all other tables carry it';
COMMENT ON COLUMN w_tenants.slug IS 'The shop''s part of its web address';
COMMENT ON COLUMN w_tenants.plan IS 'What the shop pays for';
