-- Supports the foreign key of w_order_notes and listing an order's notes.
CREATE INDEX w_order_notes_order_id_idx ON w_order_notes (tenant_id, order_id);
