-- A rename only changes the catalog, regardless of the table size. The foreign
-- key and the index follow the column, so only their names must be changed.
-- confiture: ignore rename_object -- only the label printer uses order_ref, and the printer is stopped
ALTER TABLE w_shipments RENAME COLUMN order_ref TO order_id;
ALTER TABLE w_shipments RENAME CONSTRAINT w_shipments_order_ref_fkey TO w_shipments_order_id_fkey;
ALTER INDEX w_shipments_order_ref_idx RENAME TO w_shipments_order_id_idx;
